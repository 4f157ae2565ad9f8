/**
 * The ioctls that the card answers itself, replayed on a device in memory with the client's real eventfds: GET_INFO,
 * REGION_INFO, IRQ_INFO, the matrix of SET_IRQS and RESET, as recorded. What the lab adds (one interrupt index) is asserted here.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import {
  VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK, VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_NUM_IRQS, vfio_device_info, vfio_irq_info, vfio_irq_set,
} from '../../src/abi/vfio.js';
import { MttyDevice } from '../../src/drivers/mtty/device.js';
import { FakeCaller, FakeOwnedFd, fakeRequest } from '../fakes/caller.js';
import { loadGolden, number, text } from '../golden/load.js';
import type { GoldenRecord } from '../golden/load.js';

const DATA: Readonly<Record<string, number>> =
  { NONE: VFIO_IRQ_SET_DATA_NONE, BOOL: VFIO_IRQ_SET_DATA_BOOL, EVENTFD: VFIO_IRQ_SET_DATA_EVENTFD };
const ACTION: Readonly<Record<string, number>> =
  { MASK: VFIO_IRQ_SET_ACTION_MASK, UNMASK: VFIO_IRQ_SET_ACTION_UNMASK, TRIGGER: VFIO_IRQ_SET_ACTION_TRIGGER };
const SET_EVENTFD = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
const STATES: Readonly<Record<string, number | undefined>> = { 'INTx eventfd set': 0, 'MSI eventfd set': 1 };

/** One client with one open card. */
class Bench {
  readonly device: MttyDevice;
  readonly caller = new FakeCaller();
  readonly old = this.caller.eventfd();
  readonly new = this.caller.eventfd();

  constructor(ports: 1 | 2) {
    this.device = new MttyDevice(ports, {});
  }

  /** The result and the errno of an ioctl on a copy of `argument`, and the bytes it leaves there. */
  async ioctl(command: number, argument: Uint8Array): Promise<{ ret: number; errno: string; bytes: Uint8Array }> {
    const address = this.caller.allocate(argument);
    const answer = await this.raw(command, address);
    return { ...answer, bytes: this.caller.read(address, argument.length) };
  }

  async raw(command: number, address: bigint): Promise<{ ret: number; errno: string }> {
    try {
      return { ret: await this.device.ioctl(fakeRequest(this.caller), command, address), errno: '0' };
    } catch (error) {
      if (!isErrno(error)) throw error;
      return { ret: -1, errno: error.code };
    }
  }

  async setIrqs(flags: number, index: number, start: number, count: number, data: readonly number[] = [], argsz?: number):
  Promise<{ ret: number; errno: string }> {
    const element = (flags & VFIO_IRQ_SET_DATA_BOOL) !== 0 ? 1 : 4;
    const tail = new Uint8Array(64);
    data.forEach((value, n) => new DataView(tail.buffer).setInt32(n * element, value, true));
    const header = vfio_irq_set.encode({ argsz: argsz ?? vfio_irq_set.size + element * data.length, flags, index, start, count });
    const { ret, errno } = await this.ioctl(VFIO_DEVICE_SET_IRQS, Buffer.concat([header, tail]));
    return { ret, errno };
  }

  async getInfo(): Promise<void> {
    await this.ioctl(VFIO_DEVICE_GET_INFO, vfio_device_info.encode({ argsz: 16 }));
  }

  /** As irq_reset() and what follows it in probes/probe-vfio.c. */
  async begin(state: string): Promise<void> {
    for (const index of [0, 1]) await this.setIrqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0);
    const index = STATES[state];
    if (index !== undefined) await this.setIrqs(SET_EVENTFD, index, 0, 1, [this.old.fd]);
    this.old.eventfd.drain();
    this.new.eventfd.drain();
  }

  end(): void {
    this.device.closeDevice();
    this.old.eventfd.close();
    this.new.eventfd.close();
  }
}

const of = (record: GoldenRecord): { ret: unknown; errno: unknown } => ({ ret: record.ret, errno: record.errno });
const before = FakeOwnedFd.openCount;
after(() => assert.equal(FakeOwnedFd.openCount, before, 'copies of eventfds are left'));

for (const [sec, ports] of [['device-mtty-1', 1], ['device-mtty-2', 2]] as const) {
  const golden = (op: string): readonly GoldenRecord[] => loadGolden('vfio-conversation', { kernel: 'k2', sec, op });

  test(`${sec}: GET_INFO, REGION_INFO and IRQ_INFO answer as recorded, but for one more interrupt index`, async () => {
    const bench = new Bench(ports);
    for (const record of golden('IRQ_INFO')) {
      if (record.when === 'after DEVICE_GET_INFO') await bench.getInfo();
      const { bytes, ...answer } = await bench.ioctl(VFIO_DEVICE_GET_IRQ_INFO,
        vfio_irq_info.encode({ argsz: number(record, 'argsz'), index: number(record, 'index') }));
      const info = vfio_irq_info.decode(bytes);
      const isOurs = record.index === VFIO_PCI_NUM_IRQS && record.when === 'after DEVICE_GET_INFO';
      const expected = isOurs ? { ret: 0, errno: '0', flags: 9, count: 1 }
        : { ...of(record), flags: number(record, 'flags'), count: number(record, 'count') };
      assert.deepEqual({ ...answer, flags: info.flags, count: info.count }, expected, JSON.stringify(record));
    }
    for (const record of golden('DEVICE_GET_INFO')) {
      if (record.what === 'NULL') {
        assert.deepEqual(await bench.raw(VFIO_DEVICE_GET_INFO, 0n), of(record));
        continue;
      }
      const argument = new Uint8Array(32).fill(0xee);
      vfio_device_info.patch(argument, { argsz: number(record, 'argsz') });
      const { bytes, ...answer } = await bench.ioctl(VFIO_DEVICE_GET_INFO, argument);
      const expected = Buffer.from(text(record, 'bytes'), 'hex');
      if (record.ret === 0) vfio_device_info.patch(expected, { num_irqs: VFIO_PCI_NUM_IRQS + 1 });
      assert.deepEqual({ ...answer, bytes: Buffer.from(bytes).toString('hex') },
        { ...of(record), bytes: expected.toString('hex') });
    }
    for (const record of golden('REGION_INFO')) {
      const argument = new Uint8Array(40).fill(0xee).fill(0, 0, 32);
      const view = new DataView(argument.buffer);
      view.setUint32(0, number(record, 'argsz'), true);
      view.setUint32(8, number(record, 'index'), true);
      const { bytes, ...answer } = await bench.ioctl(VFIO_DEVICE_GET_REGION_INFO, argument);
      assert.deepEqual({ ...answer, bytes: Buffer.from(bytes).toString('hex') }, { ...of(record), bytes: record.bytes });
    }
    bench.end();
  });

  test(`${sec}: SET_IRQS answers and fires as recorded`, async () => {
    const bench = new Bench(ports);
    await bench.getInfo();
    let compared = 0;
    for (const record of golden('SET_IRQS')) {
      if (typeof record.state !== 'string' || record.index === VFIO_PCI_NUM_IRQS) continue;
      await bench.begin(record.state);
      const data = text(record, 'data');
      const count = number(record, 'count');
      const value = record.value === 'eventfd' ? bench.new.fd : Number(record.value);
      const flags = (DATA[data] ?? 0) | (ACTION[text(record, 'action')] ?? 0);
      const answer = await bench.setIrqs(flags, number(record, 'index'), number(record, 'start'), count,
        data === 'NONE' ? [] : Array.from({ length: count }, () => value));
      const fired = { fired: Number(bench.old.eventfd.drain()), new_eventfd_fired: Number(bench.new.eventfd.drain()) };
      assert.deepEqual({ ...answer, ...fired },
        { ...of(record), fired: record.fired, new_eventfd_fired: record.new_eventfd_fired }, JSON.stringify(record));
      compared++;
    }
    assert.ok(compared > 500, `only ${compared} records`);
    bench.end();
  });

  test(`${sec}: SET_IRQS rejects malformed requests as recorded`, async () => {
    const bench = new Bench(ports);
    await bench.getInfo();
    for (const record of golden('SET_IRQS')) {
      if (typeof record.flags !== 'string') continue;
      await bench.begin('none');
      const answer = await bench.setIrqs(number(record, 'flags'), number(record, 'index'), number(record, 'start'),
        number(record, 'count'), [bench.old.fd], number(record, 'argsz'));
      assert.deepEqual(answer, of(record), JSON.stringify(record));
    }
    bench.end();
  });
}

test('the interrupt of migration_block fires once per change, and only then', async () => {
  const bench = new Bench(1);
  await bench.getInfo();
  assert.deepEqual(await bench.setIrqs(SET_EVENTFD, VFIO_PCI_NUM_IRQS, 0, 1, [bench.old.fd]), { ret: 0, errno: '0' });
  bench.device.controls.blocker.set(true);
  bench.device.controls.blocker.set(true);
  assert.equal(bench.old.eventfd.drain(), 1n);
  bench.device.controls.blocker.set(false);
  assert.equal(bench.old.eventfd.drain(), 1n);
  bench.device.closeDevice();
  bench.device.controls.blocker.set(true);
  assert.equal(bench.old.eventfd.drain(), 0n);
  bench.end();
});
