/** Masks as the AP bus reads and prints them, and what apmask and aqmask refuse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { createDriver } from '../../src/drivers/index.js';
import {
  ALL_BITS, formatMask, maskOf, NO_BITS, numbersOf, parseHexMask, parseMaskChange,
} from '../../src/drivers/vfio-ap/ap-mask.js';
import { parseVfioApOptions } from '../../src/drivers/vfio-ap/options.js';
import { FREE, Rig } from './vfio-ap-rig.js';

const ZEROS = '0'.repeat(64);

test('a mask is 64 digits, number 0 on the left', () => {
  assert.equal(formatMask(NO_BITS), `0x${ZEROS}`);
  assert.equal(formatMask(ALL_BITS), `0x${'f'.repeat(64)}`);
  assert.equal(formatMask(maskOf([0, 5, 255])), `0x84${'0'.repeat(61)}1`);
  assert.deepEqual(numbersOf(maskOf([255, 0, 171])), [0, 171, 255]);
});

const HEX: readonly (readonly [text: string, numbers: readonly number[] | 'EINVAL'])[] = [
  ['0x8', [0]], ['8', [0]], ['0x04', [5]], ['0x04\n', [5]], ['0X04', 'EINVAL'], ['\n', []], [ZEROS, []],
  ['', 'EINVAL'], ['0x', 'EINVAL'], ['0x4g', 'EINVAL'], ['0x4 ', 'EINVAL'], [' 0x4', 'EINVAL'], ['0x4\n\n', 'EINVAL'],
  [`0x${ZEROS}`, []], [`0x${ZEROS}0`, 'EINVAL'],
];

for (const [text, expected] of HEX) {
  test(`parseHexMask() of ${JSON.stringify(text.replace(ZEROS, '0...'))} is ${JSON.stringify(expected)}`, () => {
    if (expected === 'EINVAL') assert.throws(() => parseHexMask(text), (error) => isErrno(error, 'EINVAL'));
    else assert.deepEqual(numbersOf(parseHexMask(text)), expected);
  });
}

const CHANGES: readonly (readonly [text: string, numbers: readonly number[] | 'EINVAL'])[] = [
  ['+5', [1, 2, 3, 5]], ['-2', [1, 3]], ['-2\n', [1, 3]], ['+5,-1,+0x10', [2, 3, 5, 16]], ['+5+6', [1, 2, 3, 5, 6]],
  ['+5-7', [1, 2, 3, 5, 6, 7]], ['-0-255', []], ['+010', [1, 2, 3, 8]], ['+4,-4', [1, 2, 3]], ['+255', [1, 2, 3, 255]],
  ['0x08', [4]], ['08', [4]],
  ['+256', 'EINVAL'], ['+', 'EINVAL'], ['+x', 'EINVAL'], ['+7-5', 'EINVAL'], ['+1-256', 'EINVAL'], ['+1,2', 'EINVAL'],
  ['+1 ', 'EINVAL'], ['+1-', 'EINVAL'], ['+08', 'EINVAL'], ['', 'EINVAL'],
];

for (const [text, expected] of CHANGES) {
  test(`parseMaskChange() of ${JSON.stringify(text)} on 1-3 is ${JSON.stringify(expected)}`, () => {
    const old = maskOf([1, 2, 3]);
    if (expected === 'EINVAL') assert.throws(() => parseMaskChange(text, old), (error) => isErrno(error, 'EINVAL'));
    else assert.deepEqual(numbersOf(parseMaskChange(text, old)), expected);
  });
}

test('the bus shows the machine: cards, queues, masks; all queues belong to the host at first', async () => {
  const rig = new Rig({});
  assert.equal(await rig.read('bus/ap/apmask'), `0x${'f'.repeat(64)}\n`);
  assert.equal(await rig.read('bus/ap/aqmask'), `0x${'f'.repeat(64)}\n`);
  assert.equal(await rig.read('bus/ap/ap_adapter_mask'), `0x0e${'0'.repeat(62)}\n`);
  assert.equal(await rig.read('bus/ap/ap_usage_domain_mask'), await rig.read('bus/ap/ap_control_domain_mask'));
  assert.equal(await rig.read('bus/ap/ap_max_adapter_id'), '255\n');
  assert.equal(await rig.read('bus/ap/ap_domain'), '4\n');
  assert.equal(await rig.read('bus/ap/bindings'), '12/12 (complete)\n');
  assert.equal(await rig.read('devices/ap/card05/type'), 'CEX8C\n');
  assert.equal(await rig.read('devices/ap/card05/hwtype'), '14\n');
  assert.equal(await rig.read('devices/ap/card05/ap_functions'), '0xF2800000\n');
  assert.equal(rig.core.machine.root.find('sys/bus/ap/drivers/cex4queue/05.00ab')?.kind, 'symlink');
  assert.equal(rig.core.machine.root.find('sys/devices/ap/card05/05.00ab/status'), undefined);
});

test('what is taken out of both masks goes to vfio_ap, and back; uevents tell', async () => {
  const rig = new Rig({});
  const { root, uevents } = rig.core.machine;
  const events: string[] = [];
  uevents.subscribe(({ action, devpath, env }) => events.push(`${action} ${devpath} ${env.join(' ')}`));
  assert.ok(root.find('sys/devices/ap/card05/05.0004'));
  assert.equal(await rig.write('bus/ap/apmask', '-5\n'), '0');
  assert.equal(root.find('sys/bus/ap/drivers/vfio_ap/05.0004')?.kind, 'symlink');
  assert.equal(root.find('sys/bus/ap/drivers/cex4queue/05.0004'), undefined);
  assert.equal(await rig.read('devices/ap/card05/05.0004/status'), 'unassigned\n');
  assert.ok(events.includes('bind /devices/ap/card05/05.0004 DEVTYPE=ap_queue DRIVER=vfio_ap DEV_TYPE=000E MODALIAS=ap:t0E MODE=cca'));
  assert.equal(events.at(-1), `change /devices/ap APMASK=0xfb${'f'.repeat(62)}`);
  assert.equal(await rig.write('bus/ap/apmask', '+5\n'), '0');
  assert.equal(root.find('sys/devices/ap/card05/05.0004/status'), undefined);
  assert.equal(root.find('sys/bus/ap/drivers/vfio_ap/05.0004'), undefined);
});

test('apmask_store() and aqmask_store() reject what an mdev has with EBUSY, and say so in the log', async () => {
  const rig = new Rig({ ap: { ...FREE, aqmask: 0n } });
  await rig.create().do('assign_adapter 5', 'assign_domain 0xab');
  assert.equal(await rig.write('bus/ap/aqmask', '+0xab\n'), '0', 'no adapter is reserved yet');
  assert.equal(await rig.write('bus/ap/apmask', '+5\n'), 'EBUSY');
  assert.equal(rig.klog.at(-1),
    'vfio_ap_mdev 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001: Can not reserve queue 05.00ab for host driver: in use by mdev');
  assert.equal(await rig.read('bus/ap/apmask'), `0x${ZEROS}\n`);
  assert.equal(await rig.write('bus/ap/apmask', '+6\n'), '0');
  assert.equal(await rig.write('bus/ap/apmask', 'nonsense\n'), 'EINVAL');
});

const BUS_WRITES: readonly (readonly [attribute: string, text: string, errno: string, after: string])[] = [
  ['ap_domain', '171\n', '0', '171\n'], ['ap_domain', '0xab', '0', '171\n'], ['ap_domain', '256', 'EINVAL', '4\n'],
  ['ap_domain', '-1', 'EINVAL', '4\n'], ['ap_domain', 'x', 'EINVAL', '4\n'],
  ['config_time', '5\n', '0', '5\n'], ['config_time', '4', 'EINVAL', '30\n'], ['config_time', '121', 'EINVAL', '30\n'],
  ['poll_timeout', '1500000', '0', '1500000\n'], ['poll_timeout', '0', 'EINVAL', '250000\n'], ['scans', '1', '0', '2\n'],
  ['bindings', '1', 'EACCES', '12/12 (complete)\n'],
];

for (const [attribute, text, errno, after] of BUS_WRITES) {
  test(`${attribute} of the bus: ${JSON.stringify(text)} is ${errno === '0' ? 'taken' : errno}`, async () => {
    const rig = new Rig({});
    assert.equal(await rig.write(`bus/ap/${attribute}`, text), errno);
    assert.equal(await rig.read(`bus/ap/${attribute}`), after);
  });
}

test('an unbound queue has no driver, and its guest loses the adapter', async () => {
  const rig = new Rig();
  const guest = await rig.create().do('assign_adapter 5', 'assign_adapter 6', 'assign_domain 4');
  assert.equal(await rig.write('bus/ap/drivers/vfio_ap/unbind', '06.0004\n'), '0');
  assert.equal(await rig.read('bus/ap/bindings'), '3/4\n');
  assert.equal(await guest.read('guest_matrix'), '05.0004\n');
  assert.equal(await rig.write('bus/ap/drivers/vfio_ap/unbind', '06.0004\n'), 'ENODEV');
  assert.equal(await rig.write('bus/ap/drivers/cex4card/unbind', 'card05\n'), 'EINVAL');
});

test('the driver goes and takes its buses with it, and can come again', async () => {
  const rig = new Rig();
  rig.create();
  await rig.registration.unregister();
  for (const gone of ['devices/ap', 'devices/vfio_ap', 'bus/ap', 'bus/matrix', 'module/vfio_ap', 'module/zcrypt_cex4']) {
    assert.equal(rig.core.machine.root.find(`sys/${gone}`), undefined, gone);
  }
  rig.core.registerDriver(createDriver('vfio_ap'));
  assert.equal(await rig.read('devices/vfio_ap/matrix/features'), 'guest_matrix hotplug ap_config migratable\n');
});

const WRONG: readonly (readonly [own: Readonly<Record<string, unknown>>, message: RegExp])[] = [
  [{ color: 'red' }, /no option 'color'/], [{ series: 'v2' }, /series .* is one of v1, not 'v2'/],
  [{ adapters: 'x' }, /'x' is no number/],
  [{ adapters: [4, 4] }, /adapter 4 is there twice/], [{ domains: [300] }, /domain 300 is not from 0 to 255/],
  [{ maxAdapter: 3, adapters: [4] }, /adapter 4 is not from 0 to 3/],
  [{ adapters: [{ id: 4, type: 'CEX9C' }] }, /adapters\.type/],
  [{ apmask: '+300' }, /is no mask/], [{ maxDomain: 256 }, /maxDomain 256/],
];

for (const [own, message] of WRONG) {
  test(`createDriver('vfio_ap') rejects ${JSON.stringify(own)} with a sentence`, () => {
    assert.throws(() => createDriver('vfio_ap', { own }), (error) => error instanceof RangeError && message.test(error.message));
  });
}

test('options as a command line has them', () => {
  assert.deepEqual(parseVfioApOptions({ series: 'v1', adapters: '4+0x47', domains: '1', apmask: '-4' }), {
    series: 'v1',
    ap: {
      adapters: [{ id: 4 }, { id: 0x47 }], domains: [1], apmask: parseMaskChange('-4', ALL_BITS),
    },
  });
});
