/** Removing, unbinding and unloading while a client has the device open: finding 4 of the recordings, section `busy`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Errno } from '../../src/abi/errno.js';
import { loadGolden, text } from '../golden/load.js';
import { Bench, errnoOf, O_RDWR, O_WRONLY, PARENT, TYPES } from './bench.js';

const UUID = 'a0000000-0000-4000-8000-000000000001';
const DEVICE = `${PARENT}/${UUID}`;

async function withOpenDevice(): Promise<{ bench: Bench; close: () => void }> {
  const bench = new Bench();
  bench.load();
  await bench.create(UUID);
  bench.machine.klog.clear();
  const binding = bench.vfio.binding(UUID);
  binding.open = 1;
  return { bench, close: () => binding.close() };
}

/** What probe-mdev lists while the writer waits, by the names of the recorded fields. */
function listings(bench: Bench): Record<string, unknown> {
  const list = (path: string): unknown => (bench.exists(path) ? bench.list(path).sort() : 'ENOENT');
  return {
    device_dir: list(DEVICE), vfio: list('/dev/vfio'), parent_dir: list(PARENT), bus_devices: list('/sys/bus/mdev/devices'),
    driver_dir: list('/sys/bus/mdev/drivers/mtty'), class_vfio: list('/sys/class/vfio'),
    class_vfio_dev: list('/sys/class/vfio-dev'),
    iommu_group_devices: list('/sys/kernel/iommu_groups/0/devices'), type1_devices: list(`${TYPES}/mtty-1/devices`),
    group_in_sys: bench.exists('/sys/class/vfio/0') ? 1 : 0,
  };
}

function recorded(which: string): Record<string, unknown> {
  const [record] = loadGolden('mdev-errors', { kernel: 'k2', sec: 'busy', op: 'remove-after-1.5s', case: which });
  assert(record !== undefined);
  return record;
}

/** Every promise that is ready has gone on. */
const settle = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

describe('removing a device that is open', () => {
  it('leaves the half-removed tree of the kernel, waits, and finishes with the last close', async () => {
    const { bench, close } = await withOpenDevice();
    let returned = false;
    const writer = bench.echo('1', `${DEVICE}/remove`).then((written) => { returned = true; return written; });
    await settle();
    const wanted = recorded('device fd open');
    const found = listings(bench);
    for (const field of Object.keys(found)) assert.deepEqual(found[field], wanted[field], field);
    assert.deepEqual(await bench.available(), [wanted['avail1'], wanted['avail2']]);
    assert.equal(await errnoOf(() => bench.create(UUID)), 'EEXIST');
    assert.equal(await errnoOf(() => bench.echo('1', `${DEVICE}/remove`)), 'ENOENT');
    assert.equal(bench.vfio.binding(UUID).released, false);
    await settle();
    assert.equal(returned, false);
    close();
    assert.equal(await writer, 1);
    assert.equal(bench.exists(DEVICE), false);
    assert.deepEqual(bench.list('/dev/vfio'), ['vfio']);
    assert.deepEqual(bench.list('/sys/kernel/iommu_groups'), []);
    assert.deepEqual(await bench.available(), [24, 12]);
    assert.equal(bench.vfio.binding(UUID).released, true);
  });

  it('says so in the kernel log, in the kernel\'s words', async () => {
    const { bench, close } = await withOpenDevice();
    const writer = bench.echo('1', `${DEVICE}/remove`);
    await settle();
    close();
    await writer;
    const normal = (line: string): string => line.replace(/"[^"]*" \(\d+\)/, 'TASK');
    const wanted = loadGolden('mdev-errors', { kernel: 'k2', sec: 'busy', op: 'klog' }).slice(0, 2)
      .flatMap((record) => record['lines'] as string[]).filter((line) => line.includes(UUID));
    assert.deepEqual(bench.machine.klog.lines.map(normal), wanted.map(normal));
  });

  it('is as removing any other when only the group is open', async () => {
    const bench = new Bench();
    bench.load();
    await bench.create(UUID);
    const group = await bench.open('/dev/vfio/0', O_RDWR);
    assert.equal(await bench.echo('1', `${DEVICE}/remove`), 1);
    const wanted = recorded('group fd open, no device fd');
    const found = listings(bench);
    for (const field of Object.keys(found)) assert.deepEqual(found[field], wanted[field], field);
    await group.close();
  });

  it('remove_store() ends its wait with EINTR when the writer is interrupted; the removal goes on', async () => {
    const { bench, close } = await withOpenDevice();
    const abort = new AbortController();
    const writer = errnoOf(() => bench.echo('1', `${DEVICE}/remove`, abort.signal));
    await settle();
    abort.abort();
    assert.equal(await writer, 'EINTR');
    assert.deepEqual(bench.list(DEVICE), ['iommu_group']);
    assert.equal(await errnoOf(() => bench.create(UUID)), 'EEXIST');
    close();
    await settle();
    assert.equal(bench.exists(DEVICE), false);
    assert.equal(await bench.create(UUID), 36);
  });

  it('sends the uevent of the character device at once and the others at the end', async () => {
    const { bench, close } = await withOpenDevice();
    bench.uevents.length = 0;
    const names = (): string[] =>
      bench.uevents.map(({ action, devpath }) => `${action} ${devpath.split('/').slice(-1).join('')}`);
    const writer = bench.echo('1', `${DEVICE}/remove`);
    await settle();
    assert.deepEqual(names(), ['remove vfio0']);
    close();
    await writer;
    assert.deepEqual(names(), ['remove vfio0', 'remove 0', `unbind ${UUID}`, `remove ${UUID}`]);
  });

  it('tells subscribers removing at once and removed at the end', async () => {
    const { bench, close } = await withOpenDevice();
    const events: string[] = [];
    bench.core.subscribe(({ kind }) => events.push(kind));
    const writer = bench.echo('1', `${DEVICE}/remove`);
    await settle();
    assert.deepEqual(events, ['removing']);
    close();
    await writer;
    assert.deepEqual(events, ['removing', 'removed']);
  });
});

describe('unbinding a device that is open', () => {
  it('waits without its driver\'s links and attributes, then leaves the unbound device', async () => {
    const { bench, close } = await withOpenDevice();
    const writer = bench.echo(UUID, '/sys/bus/mdev/drivers/mtty/unbind');
    await settle();
    assert.deepEqual(bench.list(DEVICE).sort(), ['iommu_group', 'mdev_type', 'power', 'remove', 'subsystem', 'uevent']);
    close();
    assert.equal(await writer, 36);
    const [after] = loadGolden('mdev-errors', { kernel: 'k2', sec: 'bus', op: 'after-unbind' });
    assert.deepEqual(bench.list(DEVICE).sort(), after?.['device_dir']);
  });

  it('a removal that comes meanwhile waits for the same close', async () => {
    const { bench, close } = await withOpenDevice();
    const unbind = bench.echo(UUID, '/sys/bus/mdev/drivers/mtty/unbind');
    const remove = bench.echo('1', `${DEVICE}/remove`);
    await settle();
    assert.deepEqual(bench.list(DEVICE), ['iommu_group']);
    close();
    assert.deepEqual(await Promise.all([unbind, remove]), [36, 1]);
    assert.equal(bench.exists(DEVICE), false);
    assert.deepEqual(await bench.available(), [24, 12]);
  });
});

describe('unloading the driver', () => {
  it('unregister() with an open device rejects with EAGAIN and changes nothing', async () => {
    const { bench, close } = await withOpenDevice();
    const registration = bench.core.registrations.get('mtty');
    assert.equal(await errnoOf(() => registration?.unregister()), 'EAGAIN');
    assert(bench.exists(`${DEVICE}/remove`));
    close();
    await registration?.unregister();
    assert.equal(bench.exists(PARENT), false);
  });

  it('with two devices removes everything, and what was open answers ENODEV, also after loading again', async () => {
    const bench = new Bench();
    const registration = bench.load();
    await bench.create(UUID);
    await bench.create('a0000000-0000-4000-8000-000000000002', 'mtty-2');
    const held = [
      await bench.open(`${TYPES}/mtty-1/name`, 0), await bench.open(`${TYPES}/mtty-1/create`, O_WRONLY),
      await bench.open(`${DEVICE}/uevent`, O_RDWR), await bench.open(`${DEVICE}/remove`, O_WRONLY),
    ] as const;
    const answers = async (): Promise<string[]> => [
      await errnoOf(() => held[0].read()), await errnoOf(() => held[1].write(UUID)),
      await errnoOf(() => held[2].read()), await errnoOf(() => held[3].write('1')),
    ];
    await registration.unregister();
    const wanted = loadGolden('mdev-errors', { kernel: 'k2', sec: 'unload', op: 'held-fd' })
      .map((record) => text(record, 'errno'));
    assert.deepEqual(await answers(), wanted);
    assert.deepEqual(bench.list('/sys/class/mdev_bus'), []);
    assert.equal(bench.exists('/sys/class/mtty'), false);
    bench.load();
    assert.deepEqual(bench.list('/sys/bus/mdev/devices'), []);
    assert.deepEqual(await answers(), wanted);
  });

  it('while an attribute is being read waits for it; creating is ENODEV meanwhile, a second call waits too', async () => {
    const bench = new Bench();
    const registration = bench.load();
    await bench.create(UUID);
    const node = bench.walk(`${DEVICE}/uevent`);
    bench.machine.tree.active.get(node);
    let ended = 0;
    const both = [registration.unregister(), registration.unregister()].map((one) => Promise.resolve(one).then(() => ended++));
    await settle();
    assert.equal(ended, 0);
    assert.equal(await errnoOf(() => bench.create('a0000000-0000-4000-8000-000000000002')), 'ENODEV');
    bench.machine.tree.active.put(node);
    await Promise.all(both);
    assert.equal(bench.exists(PARENT), false);
    assert.doesNotThrow(() => bench.load());
  });

  it('registerDriver() rejects a second driver of the same name with EEXIST', async () => {
    const bench = new Bench();
    bench.load();
    assert.equal(await errnoOf(() => bench.load()), 'EEXIST');
  });
});

describe('a create that fails', () => {
  it('in probe leaves nothing but its two uevents', async () => {
    const bench = new Bench();
    bench.load(1);
    await bench.create(UUID);
    bench.uevents.length = 0;
    const before = bench.list(PARENT);
    assert.equal(await errnoOf(() => bench.create('a0000000-0000-4000-8000-000000000002')), 'ENOSPC');
    assert.deepEqual(bench.list(PARENT), before);
    assert.deepEqual(bench.uevents.map(({ action }) => action), ['add', 'remove']);
  });

  it('in the registration with VFIO gives the ports and the numbers back', async () => {
    const bench = new Bench();
    bench.load();
    bench.vfio.failure = new Errno('ENOMEM');
    assert.equal(await errnoOf(() => bench.create(UUID)), 'ENOMEM');
    assert.deepEqual(await bench.available(), [24, 12]);
    assert.deepEqual(bench.list('/sys/kernel/iommu_groups'), []);
    bench.vfio.failure = undefined;
    await bench.create(UUID);
    assert.deepEqual(bench.list('/dev/vfio/devices'), ['vfio0']);
  });
});

describe('more than one parent', () => {
  it('each has its own pool and its link in class/mdev_bus; a UUID is used once in all', async () => {
    const bench = new Bench();
    bench.core.registerDriver((await import('../../src/drivers/mtty/index.js')).createMttyDriver(), 2);
    assert.deepEqual(bench.list('/sys/class/mdev_bus').sort(), ['mtty', 'mtty1']);
    await bench.create(UUID);
    const other = '/sys/class/mdev_bus/mtty1/mdev_supported_types/mtty-1';
    assert.equal(await errnoOf(() => bench.echo(UUID, `${other}/create`)), 'EEXIST');
    assert.equal(await bench.cat(`${other}/available_instances`), '24\n');
  });
});
