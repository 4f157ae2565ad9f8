/**
 * create, remove, unbind, bind and the other control files against test/golden/mdev-errors: every write with its result, and
 * the state after it. A record's own set-up (a device made or removed before it) is not recorded; `prepare` does it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ueventBody } from '../../src/device/uevent.js';
import type { GoldenKernel, GoldenRecord } from '../golden/load.js';
import { loadGolden, number, text } from '../golden/load.js';
import { Bench, errnoOf, Handle, O_RDONLY, O_RDWR, O_WRONLY, PARENT, TYPES } from './bench.js';

const FIRST = 'a0000000-0000-4000-8000-000000000001';
const SECOND = 'a0000000-0000-4000-8000-000000000002';
const THIRD = 'a0000000-0000-4000-8000-000000000003';

/** The bytes of a recorded write; long ones are recorded by their start and their length. */
function input(record: GoldenRecord): Uint8Array {
  if (typeof record['in'] === 'string') return Buffer.from(record['in'], 'latin1');
  const start = text(record, 'in_first80');
  const bytes = Buffer.alloc(number(record, 'len'), start.slice(-1));
  bytes.write(start, 'latin1');
  if (record['what'] === '4095 zeros and a one') bytes.write('1', 4095);
  return bytes;
}

async function removeAll(bench: Bench): Promise<void> {
  for (const uuid of bench.core.devices.keys()) await bench.echo('1', `${PARENT}/${uuid}/remove`);
}

/** The fields of the state after a record, as it was recorded. */
async function checkState(bench: Bench, record: GoldenRecord, message: string): Promise<void> {
  if (record['avail1'] === undefined) return;
  assert.deepEqual(await bench.available(), [record['avail1'], record['avail2']], `${message}: available_instances`);
  for (const [type, field] of [['mtty-1', 'type1_devices'], ['mtty-2', 'type2_devices']] as const) {
    assert.deepEqual(bench.list(`${TYPES}/${type}/devices`).sort(), record[field], `${message}: ${field}`);
  }
}

/** What the probe did before this write without a record. */
async function prepare(bench: Bench, record: GoldenRecord): Promise<void> {
  const path = text(record, 'path');
  const device = /\/mtty\/mtty\/([0-9a-f-]{36})\//.exec(path)?.[1];
  if (device !== undefined && record.errno !== 'ENOENT' && !bench.core.devices.has(device)) {
    if (/uevent add$/.test(String(record['what']))) await removeAll(bench);
    await bench.create(device);
  }
  if (path.endsWith('/create') && number(record, 'ret') > 0) {
    const made = Buffer.from(input(record)).toString('latin1').slice(0, 36).toLowerCase();
    const left = [...(record['type1_devices'] as string[]), ...(record['type2_devices'] as string[])];
    for (const uuid of bench.core.devices.keys()) {
      if (uuid === made || !left.includes(uuid)) await bench.echo('1', `${PARENT}/${uuid}/remove`);
    }
  }
  if (/^unbind/.test(String(record['what'])) && bench.core.devices.size === 0) await bench.create(FIRST);
}

async function replayWrite(bench: Bench, record: GoldenRecord): Promise<void> {
  await prepare(bench, record);
  const message = `${record.sec} ${record.i} ${String(record['what'])}`;
  let at = 'open';
  let written = -1;
  const errno = await errnoOf(async () => {
    const handle = await bench.open(text(record, 'path'), O_WRONLY);
    at = 'write';
    try {
      written = await handle.write(input(record));
    } finally {
      await handle.close();
    }
  });
  assert.deepEqual({ at, ret: written, errno }, { at: record['at'], ret: record.ret, errno: record.errno }, message);
  await checkState(bench, record, message);
}

/** Records that are neither writes nor clean-ups, by `op`. `fd` is the one that the section keeps open on `create`. */
type Replay = (bench: Bench, record: GoldenRecord, fd: Handle) => Promise<void>;

async function replayHandle(bench: Bench, record: GoldenRecord, fd: Handle, data: string): Promise<void> {
  let written = -1;
  const errno = await errnoOf(async () => { written = await fd.write(data); });
  assert.deepEqual({ ret: written, errno }, { ret: record.ret, errno: record.errno }, `${record.op} ${record.i}`);
  await checkState(bench, record, `${record.op} ${record.i}`);
}

const REPLAYS: Readonly<Record<string, Replay>> = {
  'initial': (bench, record) => checkState(bench, record, 'initial'),
  'cleanup': async (bench, record) => {
    await removeAll(bench);
    await checkState(bench, record, `cleanup ${record.i}`);
  },
  'two-half-writes': (bench, record, fd) =>
    replayHandle(bench, record, fd, record['half'] === 1 ? FIRST.slice(0, 18) : FIRST.slice(18)),
  'same-fd-write': (bench, record, fd) => replayHandle(bench, record, fd, record['n'] === 1 ? FIRST : SECOND),
  'pwrite': (bench, record, fd) => replayHandle(bench, record, fd, THIRD),
  'writev-split': (bench, record, fd) => replayHandle(bench, record, fd, FIRST),
  'write-append': (bench, record, fd) => replayHandle(bench, record, fd, `${FIRST}\n`),
  'write-bad-buffer-len0': (bench, record, fd) => replayHandle(bench, record, fd, ''),
  'exists-after-remove': async (bench, record) =>
    assert.equal(bench.exists(`${PARENT}/${text(record, 'uuid')}`), record['exists'] === 1, `${record.op} ${record.i}`),
  'no-leftover': async (bench, record) =>
    assert.equal(bench.exists(`${PARENT}/e0000000-0000-4000-8000-000000000100`), record['exists'] === 1),
  'after-23-of-type1': async (bench, record) => {
    for (let n = 0; n < 23; n++) await bench.create(`e0000000-0000-4000-8000-${String(n).padStart(12, '0')}`);
    await checkState(bench, record, record.op);
  },
  'after-unbind': checkLists,
  'after-bind': checkLists,
  'device-dir': (bench, record) => checkLists(bench, record, SECOND),
  'open-as-root': async (bench, record) => {
    const flags = { O_RDONLY, O_WRONLY, O_RDWR }[text(record, 'flags') as 'O_RDONLY'];
    const path = text(record, 'path');
    if (path.endsWith('/devices')) return;
    assert.equal(await errnoOf(() => bench.open(path, flags)), record.errno, `${path} ${record['flags'] as string}`);
  },
};

/** Names in the device's, the driver's and /dev/vfio's directory, sorted. */
async function checkLists(bench: Bench, record: GoldenRecord, device: unknown): Promise<void> {
  const uuid = typeof device === 'string' ? device : FIRST;
  const lists: Readonly<Record<string, string>> = {
    device_dir: `${PARENT}/${uuid}`, vfio: '/dev/vfio', parent_dir: PARENT, bus_devices: '/sys/bus/mdev/devices',
    driver_dir: '/sys/bus/mdev/drivers/mtty', class_vfio: '/sys/class/vfio', class_vfio_dev: '/sys/class/vfio-dev',
    iommu_group_devices: '/sys/kernel/iommu_groups/0/devices',
  };
  for (const [field, path] of Object.entries(lists)) {
    if (record[field] === undefined) continue;
    // The lab's own attribute, beside the recorded ones.
    const found = bench.exists(path) ? bench.list(path).filter((name) => name !== 'migration_block').sort() : 'ENOENT';
    assert.deepEqual(found, record[field], `${record.sec} ${record.i} ${field}`);
  }
}

/** Operations of the system call layer or of the file system's own tests. */
const NOT_HERE = new Set([
  'section-end', 'klog', 'write-null-buffer', 'read-on-wronly-fd', 'open-append-trunc-creat', 'read', 'write-x',
]);

function ofTheDevices(lines: readonly string[]): string[] {
  return lines.filter((line) => /^mtty [0-9a-f]{8}-|^mtty mtty: |^synth uevent/.test(line));
}

describe('the control files, record by record', () => {
  for (const kernel of ['stock', 'k2'] as const) {
    for (const sec of ['create', 'exhaust', 'remove', 'permissions', 'bus']) {
      it(`${sec} on ${kernel}: every result, the state after it, and the kernel's messages`, async () => {
        const bench = new Bench();
        bench.load();
        if (sec === 'bus') await bench.create(FIRST);
        bench.machine.klog.clear();
        const fd = await bench.open(`${TYPES}/mtty-1/create`, O_WRONLY);
        const unknown = new Set<string>();
        for (const record of loadGolden('mdev-errors', { kernel, sec })) {
          if (record.op === 'write') await replayWrite(bench, record);
          else if (record.op === 'klog') checkLog(bench, record);
          else if (/^(stale-)?remove-fd/.test(record.op)) continue;
          else if (REPLAYS[record.op] !== undefined) await REPLAYS[record.op]?.(bench, record, fd);
          else if (!NOT_HERE.has(record.op)) unknown.add(record.op);
        }
        assert.deepEqual([...unknown], []);
      });
    }
  }
});

/**
 * Adding and removing are left out where the set-up between the records made them: which messages there are is compared,
 * and of the others every line.
 */
function checkLog(bench: Bench, record: GoldenRecord): void {
  const routine = /: (Adding to|Removing from) iommu group \d+$/;
  const recorded = ofTheDevices(record['lines'] as string[]);
  const found = ofTheDevices(bench.machine.klog.lines);
  const others = (lines: string[]): string[] => lines.filter((line) => !routine.test(line));
  assert.deepEqual(others(found), others(recorded), `klog of ${record.sec}`);
  const kinds = (lines: string[]): string[] => [...new Set(lines)].sort();
  assert.deepEqual(kinds(found), kinds(recorded), `klog of ${record.sec}`);
}

describe('a removed device', () => {
  it('remove answers ENODEV through descriptors that were open, also after the device was made again', async () => {
    const bench = new Bench();
    bench.load();
    await bench.create(FIRST);
    const path = `${PARENT}/${FIRST}/remove`;
    const [one, two] = [await bench.open(path, O_WRONLY), await bench.open(path, O_WRONLY)];
    const ino = bench.walk(`${PARENT}/${FIRST}`).ino;
    assert.equal(await one.write('1'), 1);
    for (const data of ['1', '0', '']) assert.equal(await errnoOf(() => two.write(data)), 'ENODEV');
    assert.equal(await errnoOf(() => one.write('1')), 'ENODEV');
    await bench.create(FIRST);
    assert.equal(await errnoOf(() => two.write('1')), 'ENODEV');
    assert.notEqual(bench.walk(`${PARENT}/${FIRST}`).ino, ino);
  });

  it('held attributes answer ENODEV for ever', async () => {
    const bench = new Bench();
    bench.load();
    await bench.create(FIRST);
    const uevent = await bench.open(`${PARENT}/${FIRST}/uevent`, O_RDWR);
    await bench.echo('1', `${PARENT}/${FIRST}/remove`);
    assert.equal(await errnoOf(() => uevent.read()), 'ENODEV');
    await bench.create(FIRST);
    assert.equal(await errnoOf(() => uevent.read()), 'ENODEV');
  });

  it('its numbers are the lowest free ones and are given out again', async () => {
    const bench = new Bench();
    bench.load();
    const numbers = (uuid: string): string[] => [
      bench.walk(`${PARENT}/${uuid}/iommu_group`).name, ...bench.list(`${PARENT}/${uuid}/vfio-dev`),
    ];
    for (const uuid of [FIRST, SECOND, THIRD]) await bench.create(uuid);
    assert.deepEqual([FIRST, SECOND, THIRD].map(numbers), [['0', 'vfio0'], ['1', 'vfio1'], ['2', 'vfio2']]);
    await bench.echo('1', `${PARENT}/${SECOND}/remove`);
    assert.deepEqual(bench.list('/sys/kernel/iommu_groups').sort(), ['0', '2']);
    await bench.create(SECOND, 'mtty-2');
    assert.deepEqual(numbers(SECOND), ['1', 'vfio1']);
  });
});

describe('races', () => {
  it('of 16 creates of one UUID one succeeds, the others get EEXIST', async () => {
    const bench = new Bench();
    bench.load();
    const results = await Promise.all(Array.from({ length: 16 }, () => errnoOf(() => bench.create(FIRST))));
    assert.deepEqual(results.filter((result) => result !== 'EEXIST'), ['0']);
  });

  it('of 16 removes one removes, the others get ENOENT or ENODEV', async () => {
    const bench = new Bench();
    bench.load();
    await bench.create(FIRST);
    const remove = (): Promise<string> => errnoOf(() => bench.echo('1', `${PARENT}/${FIRST}/remove`));
    const results = await Promise.all(Array.from({ length: 16 }, remove));
    assert.equal(results.filter((result) => result === '0').length, 1);
    assert(results.every((result) => ['0', 'ENOENT', 'ENODEV'].includes(result)), results.join());
    assert.deepEqual(await bench.available(), [24, 12]);
  });
});

/** A recorded netlink message without what differs from boot to boot. */
function message(record: GoldenRecord): string {
  return text(record, 'msg_nul_separated').replace(/SEQNUM=\d+\0/, '');
}

describe('uevents', () => {
  const recorded = (sec: string, field: 'after' | 'phase', value: string, kernel: GoldenKernel = 'k2'): string[] =>
    loadGolden('mdev-errors', { kernel, sec, [field]: value }).filter(({ op }) => op === 'uevent').map(message)
      .filter((line) => !/i8042|serio/.test(line));
  const sent = (bench: Bench): string[] => {
    const messages = bench.uevents.map(ueventBody);
    bench.uevents.length = 0;
    return messages;
  };

  it('are those of the kernel, in its order, for every operation on a device', async () => {
    const bench = new Bench();
    bench.load();
    sent(bench);
    const device = `${PARENT}/${FIRST}`;
    const driver = '/sys/bus/mdev/drivers/mtty';
    const steps: readonly (readonly [string, () => Promise<unknown>])[] = [
      ['create', () => bench.create(FIRST)],
      ['echo change > uevent', () => bench.echo('change', `${device}/uevent`)],
      ['echo add UUID A=1 B=c > uevent',
        () => bench.echo('add fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed A=1 B=c', `${device}/uevent`)],
      ['unbind', () => bench.echo(FIRST, `${driver}/unbind`)],
      ['bind', () => errnoOf(() => bench.echo(FIRST, `${driver}/bind`))],
      ['remove', () => bench.echo('1', `${device}/remove`)],
      ['second create', () => bench.create(FIRST)],
      ['duplicate create (fails)', () => errnoOf(() => bench.create(FIRST))],
      ['second remove', () => bench.echo('1', `${device}/remove`)],
    ];
    for (const [after, step] of steps) {
      await step();
      assert.deepEqual(sent(bench), recorded('uevents', 'after', after), after);
    }
  });

  it('of loading and unloading the driver are those of the kernel', async () => {
    const bench = new Bench();
    sent(bench);
    const registration = bench.load();
    assert.deepEqual(sent(bench), recorded('uevents-module', 'phase', 'insmod mtty'));
    await bench.create('11111111-1111-4111-8111-111111111111');
    sent(bench);
    await registration.unregister();
    assert.deepEqual(sent(bench), recorded('uevents-module', 'phase', 'rmmod mtty with one mdev'));
  });
});
