/** Every rule and errno of the attributes that say which queues an mdev has, and the parent's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VfioApOptions } from '../../src/drivers/vfio-ap/index.js';
import { isErrno } from '../../src/abi/errno.js';
import { FREE, Rig, TYPE, uuid } from './vfio-ap-rig.js';

const PARENT = 'devices/vfio_ap/matrix';
const mask = (...digits: readonly string[]): string => `0x${digits.join('').padEnd(64, '0')}`;

test('the parent is where the kernel has it, with its type and its features', async () => {
  const rig = new Rig();
  assert.equal(await rig.read(`${PARENT}/features`), 'guest_matrix hotplug ap_config migratable\n');
  const type = `${PARENT}/mdev_supported_types/${TYPE}`;
  assert.equal(await rig.read(`${type}/name`), 'VFIO AP Passthrough Device\n');
  assert.equal(await rig.read(`${type}/device_api`), 'vfio-ap\n');
  assert.equal(await rig.read(`${type}/available_instances`), '256\n');
  assert.equal(await rig.write(`${type}/create`, `${uuid(1)}\n`), '0');
  assert.equal(await rig.read(`${type}/available_instances`), '255\n');
  const { root } = rig.core.machine;
  const links = ['class/mdev_bus/matrix', 'bus/matrix/devices/matrix', 'bus/matrix/drivers/vfio_ap/matrix',
    `bus/mdev/devices/${uuid(1)}`, `bus/mdev/drivers/vfio_ap_mdev/${uuid(1)}`];
  for (const link of links) {
    assert.equal(root.find(`sys/${link}`)?.kind, 'symlink', link);
  }
  assert.equal(await rig.write(`${PARENT}/${uuid(1)}/remove`, '1'), '0');
  assert.equal(await rig.read(`${type}/available_instances`), '256\n');
});

test('probe() rejects the 257th mdev with EUSERS', () => {
  const rig = new Rig();
  const type = rig.registration.type(TYPE);
  for (let n = 0; n < 256; n++) rig.core.create(type, `83b8f4f2-509f-382f-3c1e-${String(n).padStart(12, '0')}`);
  assert.throws(() => rig.create(), (error) => isErrno(error, 'EUSERS'));
});

test('a driver with two parents is refused: there is one matrix', () => {
  const rig = new Rig();
  assert.throws(() => rig.registration.driver.createParent(1), RangeError);
});

interface Row {
  readonly what: string;
  /** On the first mdev, before. */
  readonly before?: readonly string[];
  /** On another mdev, before. */
  readonly other?: readonly string[];
  readonly write: readonly [attribute: string, text: string];
  readonly errno?: string;
  readonly options?: VfioApOptions;
  /** matrix, guest_matrix, control_domains afterwards, newlines as blanks. */
  readonly after?: readonly [matrix: string, guest: string, control: string];
}

const RESERVED: VfioApOptions = { ap: { adapters: [5, 6], domains: [4, 0xab] } };
const SMALL: VfioApOptions = { ap: { adapters: [1, 2], domains: [0, 1], maxAdapter: 3, maxDomain: 1, apmask: 0n } };

const ROWS: readonly Row[] = [
  /* Numbers */
  { what: 'a decimal number', write: ['assign_adapter', '5\n'], after: ['05.', '05.', ''] },
  { what: 'no newline', write: ['assign_adapter', '5'], after: ['05.', '05.', ''] },
  { what: 'hexadecimal', write: ['assign_domain', '0xab'], after: ['.00ab', '.00ab', ''] },
  { what: 'octal', write: ['assign_domain', '04'], after: ['.0004', '.0004', ''] },
  { what: 'a plus sign', write: ['assign_adapter', '+5'], after: ['05.', '05.', ''] },
  ...['assign', 'unassign'].flatMap((verb) => ['adapter', 'domain', 'control_domain'].map((what) => `${verb}_${what}`)).flatMap(
    (attribute): Row[] => [
      { what: 'no number', write: [attribute, 'x'], errno: 'EINVAL' },
      { what: 'an empty line', write: [attribute, '\n'], errno: 'EINVAL' },
      { what: 'a negative number', write: [attribute, '-1'], errno: 'EINVAL' },
      { what: 'a blank before', write: [attribute, ' 5'], errno: 'EINVAL' },
      { what: 'two numbers', write: [attribute, '5 6'], errno: 'EINVAL' },
      { what: 'more than 64 bits', write: [attribute, '18446744073709551616'], errno: 'ERANGE' },
      { what: 'a number above the highest of the machine', write: [attribute, '256'], errno: 'ENODEV' },
      { what: 'the largest number', write: [attribute, '18446744073709551615'], errno: 'ENODEV' },
    ],
  ),
  { what: 'above a smaller highest adapter', options: SMALL, write: ['assign_adapter', '4'], errno: 'ENODEV' },
  { what: 'the highest adapter, which is not there', options: SMALL, write: ['assign_adapter', '3'], after: ['03.', '', ''] },
  { what: 'above a smaller highest domain', options: SMALL, write: ['assign_domain', '2'], errno: 'ENODEV' },
  { what: 'above its highest control domain', options: SMALL, write: ['assign_control_domain', '2'], errno: 'ENODEV' },
  /* Twice */
  { what: 'what is assigned', before: ['assign_adapter 5'], write: ['assign_adapter', '5'], after: ['05.', '05.', ''] },
  { what: 'what is not assigned', write: ['unassign_domain', '4'], after: ['', '', ''] },
  /* Reserved */
  { what: 'an adapter alone that the host keeps', options: RESERVED, write: ['assign_adapter', '5'], after: ['05.', '05.', ''] },
  { what: 'a domain alone that the host keeps', options: RESERVED, write: ['assign_domain', '4'], after: ['.0004', '.0004', ''] },
  {
    what: 'an adapter whose queue the host keeps', options: RESERVED, before: ['assign_domain 4'], write: ['assign_adapter', '5'],
    errno: 'EADDRNOTAVAIL', after: ['.0004', '.0004', ''],
  },
  {
    what: 'a domain whose queue the host keeps', options: RESERVED, before: ['assign_adapter 5'], write: ['assign_domain', '4'],
    errno: 'EADDRNOTAVAIL', after: ['05.', '05.', ''],
  },
  {
    what: 'a queue that is not there, but would be of the host', options: RESERVED, before: ['assign_adapter 9'],
    write: ['assign_domain', '9'], errno: 'EADDRNOTAVAIL',
  },
  {
    what: 'a control domain that the host keeps', options: RESERVED, write: ['assign_control_domain', '4'],
    after: ['', '', '0004'],
  },
  /* Shared */
  {
    what: 'an adapter whose queue another mdev has', other: ['assign_adapter 5', 'assign_domain 4'], before: ['assign_domain 4'],
    write: ['assign_adapter', '5'], errno: 'EADDRINUSE', after: ['.0004', '.0004', ''],
  },
  {
    what: 'a domain whose queue another mdev has', other: ['assign_adapter 5', 'assign_domain 4'], before: ['assign_adapter 5'],
    write: ['assign_domain', '4'], errno: 'EADDRINUSE', after: ['05.', '05.', ''],
  },
  {
    what: 'the same adapter with another domain', other: ['assign_adapter 5', 'assign_domain 4'], before: ['assign_adapter 5'],
    write: ['assign_domain', '0xab'], after: ['05.00ab', '05.00ab', ''],
  },
  {
    what: 'the same control domain', other: ['assign_control_domain 4'],
    write: ['assign_control_domain', '4'], after: ['', '', '0004'],
  },
  /* What the guest gets */
  {
    what: 'an adapter of which no queue is there', before: ['assign_adapter 5', 'assign_domain 4'],
    write: ['assign_adapter', '9'],
    after: ['05.0004 09.0004', '05.0004', ''],
  },
  {
    what: 'a domain that is not there: the guest gets the rest', before: ['assign_adapter 5', 'assign_domain 4'],
    write: ['assign_domain', '9'], after: ['05.0004 05.0009', '05.0004', ''],
  },
  { what: 'a control domain that is not there', write: ['assign_control_domain', '9'], after: ['', '', '0009'] },
  {
    what: 'the last domain away', before: ['assign_adapter 5', 'assign_domain 4'], write: ['unassign_domain', '4'],
    after: ['05.', '05.', ''],
  },
  {
    what: 'an adapter away', before: ['assign_adapter 5', 'assign_adapter 6', 'assign_domain 4'],
    write: ['unassign_adapter', '5'],
    after: ['06.0004', '06.0004', ''],
  },
  {
    what: 'a control domain away', before: ['assign_control_domain 4'], write: ['unassign_control_domain', '4'],
    after: ['', '', ''],
  },
  /* ap_config */
  {
    what: 'three masks', write: ['ap_config', `${mask('04')},${mask('08')},${mask('0c')}\n`],
    after: ['05.0004', '05.0004', '0004 0005'],
  },
  { what: 'short masks', write: ['ap_config', '04,08,08'], after: ['05.0004', '05.0004', '0004'] },
  { what: 'newlines between masks', write: ['ap_config', '04\n08\n08\n'], after: ['05.0004', '05.0004', '0004'] },
  { what: 'more after the third', write: ['ap_config', '04,08,08,nonsense'], after: ['05.0004', '05.0004', '0004'] },
  { what: 'two masks', write: ['ap_config', '04,08'], errno: 'EINVAL' },
  { what: 'an empty mask', write: ['ap_config', '04,,08'], errno: 'EINVAL' },
  { what: 'no hexadecimal digit', write: ['ap_config', '04,08,0g'], errno: 'EINVAL' },
  { what: 'a blank', write: ['ap_config', '04, 08,08'], errno: 'EINVAL' },
  { what: 'an adapter above the highest', options: SMALL, write: ['ap_config', '08,8,8'], errno: 'ENODEV' },
  { what: 'a domain above the highest', options: SMALL, write: ['ap_config', '4,2,8'], errno: 'ENODEV' },
  { what: 'a control domain above the highest', options: SMALL, write: ['ap_config', '4,8,2'], errno: 'ENODEV' },
  { what: 'a queue that the host keeps', options: RESERVED, write: ['ap_config', '04,08,0'], errno: 'EADDRNOTAVAIL' },
  {
    what: 'a queue of another mdev: all or nothing', other: ['assign_adapter 5', 'assign_domain 4'], before: ['assign_adapter 6'],
    write: ['ap_config', '04,08,0'], errno: 'EADDRINUSE', after: ['06.', '06.', ''],
  },
  {
    what: 'another configuration', before: ['assign_adapter 5', 'assign_domain 4', 'assign_control_domain 4'],
    write: ['ap_config', `02,${mask('0'.repeat(42), '1')},0`], after: ['06.00ab', '06.00ab', ''],
  },
  /* Read-only */
  { what: 'anything', write: ['matrix', '1'], errno: 'EACCES' },
  { what: 'anything', write: ['guest_matrix', '1'], errno: 'EACCES' },
  { what: 'anything', write: ['control_domains', '1'], errno: 'EACCES' },
];

const flat = (text: string): string => text.trimEnd().replaceAll('\n', ' ');

for (const { what, before = [], other = [], write, errno = '0', options, after } of ROWS) {
  test(`${write[0]}: ${what}: ${errno === '0' ? 'taken' : errno}`, async () => {
    const rig = new Rig(options ?? { ap: FREE });
    const guest = await rig.create(1).do(...before);
    await rig.create(2).do(...other);
    const unchanged = await guest.read('ap_config');
    assert.equal(await guest.write(...write), errno);
    if (errno !== '0') assert.equal(await guest.read('ap_config'), unchanged);
    if (after === undefined) return;
    const shown = ['matrix', 'guest_matrix', 'control_domains'];
    const now = await Promise.all(shown.map(async (name) => flat(await guest.read(name))));
    assert.deepEqual(now, after);
  });
}

test('ap_config shows what was assigned, and takes what it shows', async () => {
  const rig = new Rig();
  const guest = await rig.create().do('assign_adapter 5', 'assign_domain 4', 'assign_control_domain 0xff');
  const config = await guest.read('ap_config');
  assert.equal(config, `${mask('04')},${mask('08')},0x${'0'.repeat(63)}1\n`);
  await guest.do('unassign_adapter 5', 'unassign_domain 4', 'unassign_control_domain 255');
  assert.equal(await guest.read('matrix'), '');
  assert.equal(await guest.write('ap_config', config), '0');
  assert.equal(await guest.read('matrix'), '05.0004\n');
});

test('what a guest misses does not come back by unassigning, but by the next assignment', async () => {
  const rig = new Rig();
  const guest = await rig.create().do('assign_adapter 5', 'assign_adapter 6', 'assign_domain 4', 'assign_domain 0xab');
  await rig.write('bus/ap/drivers/vfio_ap/unbind', '06.00ab');
  assert.equal(await guest.read('guest_matrix'), '05.0004\n05.00ab\n');
  await guest.do('unassign_domain 0xab');
  assert.equal(await guest.read('guest_matrix'), '05.0004\n');
  await guest.do('assign_domain 9');
  assert.equal(await guest.read('guest_matrix'), '05.0004\n06.0004\n');
});

test('a queue that comes to vfio_ap comes to the guest; sharing is in the log; removal frees', async () => {
  const rig = new Rig();
  const guest = await rig.create(1).do('assign_adapter 5', 'assign_domain 4');
  await rig.write('bus/ap/drivers/vfio_ap/unbind', '05.0004');
  assert.equal(await guest.read('guest_matrix'), '.0004\n');
  assert.equal(await rig.write('bus/ap/aqmask', '-7\n'), '0');
  assert.equal(await guest.read('guest_matrix'), '05.0004\n', 'rebound');
  const second = await rig.create(2).do('assign_adapter 5');
  assert.equal(await second.write('assign_domain', '4'), 'EADDRINUSE');
  assert.equal(rig.klog.at(-1),
    `vfio_ap_mdev ${uuid(2)}: Userspace may not assign queue 05.0004 to mdev: already assigned to ${uuid(1)}`);
  void rig.core.remove(guest.mdev);
  assert.equal(await second.write('assign_domain', '4'), '0');
});

test('status of a queue: unassigned, assigned, in use', async () => {
  const rig = new Rig();
  const status = (): Promise<string> => rig.read('devices/ap/card05/05.0004/status');
  assert.equal(await status(), 'unassigned\n');
  const guest = await rig.create().do('assign_adapter 5', 'assign_domain 4');
  assert.equal(await status(), 'assigned\n');
  guest.open();
  assert.equal(await status(), 'in use\n');
  guest.close();
  assert.equal(await status(), 'assigned\n');
});
