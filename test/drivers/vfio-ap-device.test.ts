/** The VFIO device of a vfio_ap mdev: its ioctls, interrupts and what it says of itself, as later and as first posted. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  VFIO_DEVICE_FEATURE, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FLAGS_AP, VFIO_DEVICE_FLAGS_CAPS, VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_RESET, VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, vfio_device_feature, vfio_device_info,
  vfio_irq_info, vfio_irq_set,
} from '../../src/abi/vfio.js';
import { vfio_device_info_cap_ap_attrs } from '../../src/abi/vfio-ap.js';
import { FakeOwnedFd } from '../fakes/caller.js';
import { VfioClient } from '../vfio/vfio-client.js';
import { FREE, Rig, uuid } from './vfio-ap-rig.js';
import type { Guest } from './vfio-ap-rig.js';

const before = FakeOwnedFd.openCount;
after(() => assert.equal(FakeOwnedFd.openCount, before, 'copies of eventfds are left'));

const V1 = { ap: FREE, series: 'v1' } as const;
const TRIGGER = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
const REQ = 0;
const CFG_CHG = 1;
const ENABLE = 2;
const DISABLE = 3;
const FLAGS = VFIO_DEVICE_FLAGS_AP | VFIO_DEVICE_FLAGS_RESET;

/** SET_IRQS with `fds` as data. */
async function setIrqs(
  guest: Guest, index: number, fds: readonly number[],
  given: { flags?: number; start?: number; count?: number; argsz?: number } = {},
): Promise<string> {
  const header = vfio_irq_set.encode({ argsz: vfio_irq_set.size + 4 * fds.length, flags: TRIGGER, index, count: 1, ...given });
  return (await guest.ioctl(VFIO_DEVICE_SET_IRQS, Buffer.concat([header, new Uint8Array(new Int32Array(fds).buffer)]))).errno;
}

async function connect(guest: Guest, index: number): Promise<() => bigint> {
  const { fd, eventfd } = guest.caller.eventfd();
  assert.equal(await setIrqs(guest, index, [fd]), '0');
  return () => eventfd.drain();
}

test('GET_INFO: an AP device that can be reset, no regions, its interrupts and that of migration_block', async () => {
  const guest = new Rig().create().open();
  const argument = vfio_device_info.encode({ argsz: 24 });
  const { errno, bytes } = await guest.ioctl(VFIO_DEVICE_GET_INFO, argument);
  const { flags, num_regions, num_irqs, cap_offset } = vfio_device_info.decode(bytes);
  assert.deepEqual([errno, flags, num_regions, num_irqs, cap_offset], ['0', FLAGS, 0, 3, 0]);
  assert.equal((await guest.ioctl(VFIO_DEVICE_GET_INFO, vfio_device_info.encode({ argsz: 15 }))).errno, 'EINVAL');
  assert.equal(await guest.raw(VFIO_DEVICE_GET_INFO, 0n), 'EFAULT');
});

for (const command of [VFIO_DEVICE_GET_REGION_INFO, 0x3b00, 0]) {
  test(`ioctl() rejects command ${command.toString(16)} with EOPNOTSUPP, not ENOTTY`, async () => {
    assert.equal(await new Rig().create().open().raw(command, 0n), 'EOPNOTSUPP');
  });
}

for (const [series, count] of [[undefined, 3], ['v1', 5]] as const) {
  test(`GET_IRQ_INFO, ${series ?? 'default'}: one eventfd at ${count} indexes, the last for migration_block`, async () => {
    const guest = new Rig({ ap: FREE, series }).create().open();
    for (let index = 0; index < count; index++) {
      const { errno, bytes } = await guest.ioctl(VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info.encode({ argsz: 16, index }));
      const info = vfio_irq_info.decode(bytes);
      assert.deepEqual([errno, info.count, info.flags], ['0', 1, index === count - 1 ? 9 : 1], `index ${index}`);
    }
    for (const wrong of [{ argsz: 16, index: count }, { argsz: 15 }]) {
      assert.equal((await guest.ioctl(VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info.encode(wrong))).errno, 'EINVAL');
    }
  });
}

interface IrqRow {
  readonly what: string;
  readonly index?: number;
  readonly fds?: readonly number[];
  readonly given?: Parameters<typeof setIrqs>[3];
  readonly errno: string;
}

const IRQ_ROWS: readonly IrqRow[] = [
  { what: '-1 where nothing was set', fds: [-1], errno: '0' },
  { what: 'a number below -1', fds: [-2], errno: 'EINVAL' },
  { what: 'a closed descriptor', fds: [999], errno: 'EBADF' },
  { what: 'count 0 and no data, read all the same', fds: [], given: { count: 0 }, errno: 'EFAULT' },
  { what: 'count 0 with -1 behind it', fds: [-1], given: { count: 0 }, errno: '0' },
  { what: 'count 2', fds: [-1, -1], given: { count: 2 }, errno: 'EINVAL' },
  { what: 'start 1', fds: [-1], given: { start: 1 }, errno: 'EINVAL' },
  { what: 'an argsz without the data', fds: [-1], given: { argsz: vfio_irq_set.size }, errno: 'EINVAL' },
  { what: 'MASK', fds: [-1], given: { flags: VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_MASK }, errno: 'EINVAL' },
  { what: 'DATA_NONE', fds: [-1], given: { flags: VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER }, errno: 'EINVAL' },
  { what: 'DATA_BOOL', fds: [-1], given: { flags: VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER }, errno: 'EINVAL' },
  { what: 'an index that is not there', index: 3, fds: [-1], errno: 'EINVAL' },
];

for (const { what, index = REQ, fds = [], given, errno } of IRQ_ROWS) {
  test(`SET_IRQS: ${what}: ${errno === '0' ? 'taken' : errno}`, async () => {
    assert.equal(await setIrqs(new Rig().create().open(), index, fds, given), errno);
  });
}

test('SET_IRQS: a descriptor that is refused leaves the old one in place; -1 takes it away', async () => {
  const rig = new Rig();
  const guest = rig.create().open();
  const requested = await connect(guest, REQ);
  assert.equal(await setIrqs(guest, REQ, [999]), 'EBADF');
  guest.device.request(0);
  assert.equal(requested(), 1n);
  assert.equal(await setIrqs(guest, REQ, [-1]), '0');
  guest.device.request(0);
  assert.equal(requested(), 0n);
  assert.deepEqual(rig.klog.slice(-2), [
    `vfio_ap_mdev ${uuid(1)}: Relaying device request to user (#0)`,
    `vfio_ap_mdev ${uuid(1)}: No device request registered, blocked until released by user`,
  ]);
});

test('the interrupt for changes fires when what the guest has changes, and at no other time', async () => {
  const rig = new Rig();
  const guest = await rig.create().do('assign_adapter 5');
  guest.open();
  const changed = await connect(guest, CFG_CHG);
  const counts: Record<string, number> = {};
  const lines = ['assign_domain 4', 'assign_domain 4', 'assign_adapter 9', 'assign_control_domain 4', 'assign_control_domain 9',
    'unassign_adapter 9', 'unassign_domain 4', 'ap_config 04,08,08'];
  for (const line of lines) {
    await guest.do(line);
    counts[line] = Number(changed()) + (counts[line] ?? 0);
  }
  assert.deepEqual(counts, {
    'assign_domain 4': 1, 'assign_adapter 9': 0, 'assign_control_domain 4': 1, 'assign_control_domain 9': 0,
    'unassign_adapter 9': 0, 'unassign_domain 4': 1, 'ap_config 04,08,08': 1,
  });
  await rig.write('bus/ap/drivers/vfio_ap/unbind', '05.0004');
  assert.equal(changed(), 1n);
  guest.close();
  assert.equal(changed(), 1n, 'the guest has nothing any more');
  await guest.do('unassign_domain 4');
  assert.equal(changed(), 0n);
  void rig.core.remove(guest.mdev);
});

test('migration_block has the index after the own ones of the driver; its policies are in debugfs', async () => {
  for (const [series, index] of [[undefined, 2], ['v1', 4]] as const) {
    const rig = new Rig({ ap: FREE, series, blocker: 'enforce' });
    const guest = rig.create().open();
    const changed = await connect(guest, index);
    await guest.do('migration_block 1');
    assert.equal(changed(), 1n);
    assert.equal(await rig.read(`kernel/debug/mdevsim/${uuid(1)}/blocker`), 'enforce\n');
    guest.close();
  }
});

test('debugfs: the own of the kernel migration directory, which v1 does not get', async () => {
  const rig = new Rig();
  rig.create();
  assert.equal(await rig.read(`kernel/debug/vfio/${uuid(1)}/migration/state`), 'RUNNING\n');
  assert.equal(await rig.read(`kernel/debug/vfio/${uuid(1)}/migration/features`), 'stop-copy\n');
  const v1 = new Rig(V1);
  v1.create();
  assert.equal(v1.core.machine.root.find(`sys/kernel/debug/vfio/${uuid(1)}/migration`), undefined);
});

/* v1 */

const GET_INFO_ROWS = [
  { argsz: 16, after: { argsz: 40, cap_offset: 0 }, capability: false },
  { argsz: 24, after: { argsz: 40, cap_offset: 0 }, capability: false },
  { argsz: 39, after: { argsz: 40, cap_offset: 0 }, capability: false },
  { argsz: 40, after: { argsz: 40, cap_offset: 24 }, capability: true },
  { argsz: 64, after: { argsz: 64, cap_offset: 24 }, capability: true },
];

for (const { argsz, after: expected, capability } of GET_INFO_ROWS) {
  test(`v1, GET_INFO with argsz ${argsz}: 24 bytes${capability ? ' and the capability' : ', whatever argsz said'}`, async () => {
    const guest = await new Rig(V1).create().open().do('migratable 1');
    const argument = new Uint8Array(64).fill(0xee);
    vfio_device_info.patch(argument, { argsz });
    const { errno, bytes } = await guest.ioctl(VFIO_DEVICE_GET_INFO, argument);
    const info = vfio_device_info.decode(bytes);
    assert.deepEqual([errno, info.flags, info.num_irqs], ['0', FLAGS | VFIO_DEVICE_FLAGS_CAPS, 5]);
    assert.deepEqual({ argsz: info.argsz, cap_offset: info.cap_offset }, expected);
    const rest = bytes.subarray(vfio_device_info.size);
    if (!capability) {
      assert.ok(rest.every((byte) => byte === 0xee));
      return;
    }
    assert.deepEqual(vfio_device_info_cap_ap_attrs.decode(rest), { header: { id: 1, version: 1, next: 0 }, migratable: 1 });
    assert.ok(rest.subarray(16).every((byte) => byte === 0xee));
  });
}

test('v1: without migratable neither attribute nor capability nor interrupts; with it the default is 0', async () => {
  assert.equal(await new Rig().create().write('migratable', '1').catch((error: unknown) => String(error)), 'ENOENT');
  assert.equal(await new Rig(V1).create().read('migratable'), '0\n');
});

const VALUES: readonly (readonly [text: string, errno: string])[] = [
  ['1\n', '0'], ['1', '0'], ['0\n', '0'], ['+1', '0'], ['01', '0'], ['-0', '0'],
  ['2', 'EINVAL'], ['-1', 'EINVAL'], ['x', 'EINVAL'], ['', '0'], ['\n', 'EINVAL'], ['0x1', 'EINVAL'], ['1 ', 'EINVAL'],
  [' 1', 'EINVAL'], ['y', 'EINVAL'], ['2147483648', 'ERANGE'], ['-2147483649', 'ERANGE'], ['99999999999999999999', 'ERANGE'],
];

for (const [text, errno] of VALUES) {
  test(`v1, migratable: ${JSON.stringify(text)} is ${errno === '0' ? 'taken' : errno}`, async () => {
    const guest = new Rig(V1).create();
    assert.equal(await guest.write('migratable', text), errno);
    assert.equal(await guest.read('migratable'), errno === '0' && /1/.test(text) ? '1\n' : '0\n');
  });
}

test('v1: storing 1 fires ENABLE, storing 0 fires DISABLE, the value it has fires nothing', async () => {
  const rig = new Rig(V1);
  const guest = rig.create().open();
  const [enabled, disabled] = [await connect(guest, ENABLE), await connect(guest, DISABLE)];
  const fired = async (text: string): Promise<readonly bigint[]> => {
    assert.equal(await guest.write('migratable', text), '0');
    return [enabled(), disabled()];
  };
  assert.deepEqual(await fired('0'), [0n, 0n]);
  assert.deepEqual(await fired('1'), [1n, 0n]);
  assert.deepEqual(await fired('1'), [0n, 0n]);
  assert.deepEqual(await fired('0'), [0n, 1n]);
  guest.close();
  assert.deepEqual(await fired('1'), [1n, 0n], 'the driver keeps the eventfds of a client that has gone');
  void rig.core.remove(guest.mdev);
});

test('v1, through VFIO: asking for the size of the state is enough for EBUSY', async () => {
  const rig = new Rig(V1);
  const guest = await rig.create().do('migratable 1');
  const client = new VfioClient();
  const { device } = await client.openDevice(client.vfio.register({ name: uuid(1) }, guest.device));
  const feature = (number: number): Promise<{ errno: string }> => client.ioctl(device, VFIO_DEVICE_FEATURE,
    Buffer.concat([vfio_device_feature.encode({ argsz: 16, flags: VFIO_DEVICE_FEATURE_GET | number }), new Uint8Array(8)]));
  assert.equal((await feature(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)).errno, 'ENOTTY');
  assert.equal(await guest.write('migratable', '0'), '0');
  await guest.do('migratable 1');
  assert.equal((await feature(VFIO_DEVICE_FEATURE_MIG_DATA_SIZE)).errno, '0');
  assert.equal(await guest.write('migratable', '0'), 'EBUSY');
  assert.equal((await client.ioctl(device, VFIO_DEVICE_GET_REGION_INFO, new Uint8Array(32))).errno, 'EOPNOTSUPP');
  await client.close(device);
  assert.equal(await guest.write('migratable', '0'), '0');
});

test('RESET: back to RUNNING; v1 leaves the migration where it was', async () => {
  const later = new Rig().create().open();
  await later.set(1);
  assert.equal(later.device.migration.getState(), 1);
  assert.equal(await later.raw(VFIO_DEVICE_RESET, 0n), '0');
  assert.equal(later.device.migration.getState(), 2);
  const v1 = new Rig(V1).create().open();
  await v1.set(3);
  assert.equal(await v1.raw(VFIO_DEVICE_RESET, 0n), '0');
  assert.equal(v1.device.migration.getState(), 3);
});
