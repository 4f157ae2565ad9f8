/** Where devices are, of what kind they may be, and how often they can be had. Texts: stock QEMU 10's. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatAddress, parseAddress, placeOnBus } from '../../src/client/vfio/pci-address.js';
import type { Vmm } from '../../src/index.js';
import { QmpReplyError } from '../../src/index.js';
import { Bench, DEVICE, quickly, running, SOURCE, TARGET } from './pair.js';

const MATRIX = '33333333-3333-4333-8333-333333333333';

describe('a PCI address', () => {
  for (const [text, formatted] of [['5', '05.0'], ['0x5', '05.0'], ['05.0', '05.0'], ['0x05.0', '05.0'], ['1f', '1f.0'], ['05.7', '05.7'],
    ['005', '05.0'], ['0', '00.0']]) {
    it(`may be ${text}`, () => assert.equal(formatAddress(parseAddress(text ?? '')), formatted));
  }
  for (const text of ['', 'zz', '20', '0x20', '32', '5.', '05.8', '5.x']) {
    it(`may not be '${text}'`, () => {
      assert.throws(() => parseAddress(text), { message: `Property 'vfio-pci.addr' doesn't take value '${text}'` });
    });
  }

  const there = [{ slot: 1, function: 0, id: 'vf0' }, { slot: 2, function: 0, id: '' }, { slot: 5, function: 1, id: 'vf1' }];
  for (const [text, hotplugged, message] of [
    ['1', true, 'PCI: slot 1 function 0 not available for vfio-pci, in use by vfio-pci,id=vf0'],
    ['2', false, 'PCI: slot 2 function 0 not available for vfio-pci, in use by vfio-pci,id=(null)'],
    ['0', true, 'PCI: slot 0 function 0 not available for vfio-pci, in use by mch,id=(null)'],
    ['1f', false, 'PCI: slot 31 function 0 not available for vfio-pci, in use by ICH9-LPC,id=(null)'],
    ['1.1', true, 'PCI: slot 1 function 0 already occupied by vfio-pci, new func vfio-pci cannot be exposed to guest.'],
    ['1.1', false, "PCI: single function device can't be populated in function 1.1"],
    ['5.0', false, 'PCI: 5.0 indicates single function, but 5.1 is already populated.'],
  ] as const) {
    it(`${text} is refused where somebody is${hotplugged ? ', to a hotplugged device' : ''}`, () => {
      assert.throws(() => placeOnBus(there, parseAddress(text), hotplugged), { message });
    });
  }

  it('is the first free slot where none is asked for, as long as there is one', () => {
    assert.equal(formatAddress(placeOnBus(there, undefined, true)), '03.0');
    const all = Array.from({ length: 30 }, (_, n) => ({ slot: n + 1, function: 0, id: '' }));
    assert.throws(() => placeOnBus(all, undefined, true), { message: /^PCI: no slot\/function available/ });
  });
});

const add = (vmm: Vmm, uuid: string, more: object = {}): Promise<unknown> =>
  vmm.qmp.execute('device_add', { driver: 'vfio-pci', sysfsdev: `/sys/bus/mdev/devices/${uuid}`, ...more });
const refused = (promise: Promise<unknown>, desc: string): Promise<void> => assert.rejects(promise, (error: unknown) => {
  assert.ok(error instanceof QmpReplyError);
  assert.equal(error.desc, desc);
  return true;
});

describe('devices of mdevsim vmm', { timeout: 60_000 }, () => {
  it('are where they are asked to be, and migrate to the same place although others have gone', () => Bench.with({},
    async (bench) => {
    const source = await bench.vmm({ devices: [`${TARGET},id=other`, `${SOURCE},${DEVICE},addr=0x7,bus=pcie.0`] });
    const get = (property: string): Promise<unknown> => source.qmp.execute('qom-get', { path: '/machine/peripheral/vf0', property });
    assert.deepEqual([await get('addr'), await get('legacy-addr')], [56, '07.0']);
    for (const path of ['vf0', 'vf0/', 'peripheral/vf0', 'machine/peripheral/vf0', '//machine//peripheral/vf0/']) {
      assert.equal(await source.qmp.execute('qom-get', { path, property: 'type' }), 'vfio-pci', path);
    }
    for (const path of ['', 'f0', '/vf0', 'nope/vf0']) {
      await refused(source.qmp.execute('qom-get', { path, property: 'type' }), `Device '${path}' not found`);
    }
    await refused(source.qmp.executeAny('qom-set', { path: 'vf0', property: 'addr', value: '5' }),
      "Attempt to set property 'addr' on device 'vf0' (type 'vfio-pci') after it was realized");
    await source.qmp.execute('device_del', { id: 'other' });
    assert.deepEqual(await source.qmp.executeAny('query-pci'),
      [{ bus: 0, devices: [{ bus: 0, slot: 7, function: 0, qdev_id: 'vf0' }] }]);
    await refused(add(source, TARGET, { id: 'x', addr: '07.0' }),
      'PCI: slot 7 function 0 not available for vfio-pci, in use by vfio-pci,id=vf0');
    await refused(add(source, TARGET, { id: 'x', addr: '32' }), "Property 'vfio-pci.addr' doesn't take value '32'");
    await refused(add(source, TARGET, { id: 'x', bus: 'nope' }), "Bus 'nope' not found");
    const target = await bench.vmm({ devices: [`${TARGET},${DEVICE},addr=07.0`], incoming: true });
    await quickly(source);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.migrated();
    assert.equal(await running(target), 'running');
  }));

  it('are had once, and of the kind that they are', () => Bench.with({
    drivers: [{ name: 'mtty' }, { name: 'vfio_ap', options: { apmask: '-5' } }],
    devices: [{ type: 'mtty-2', uuid: SOURCE }, { type: 'mtty-2', uuid: TARGET },
      { type: 'vfio_ap-passthrough', uuid: MATRIX, attributes: { assign_adapter: '5', assign_domain: '4' } }],
  }, async (bench) => {
    const vmm = await bench.vmm({ devices: [`${SOURCE},id=vf0`] });
    await refused(add(vmm, SOURCE, { id: 'again' }), `vfio ${SOURCE}: device is already attached`);
    await refused(add(vmm, MATRIX), `vfio ${MATRIX}: this isn't a PCI device`);
    await refused(add(vmm, TARGET, { driver: 'vfio-ap' }), `vfio ${TARGET}: this isn't an AP device`);
    await refused(add(vmm, MATRIX, { driver: 'vfio-ap', addr: '5' }), "Property 'vfio-ap.addr' not found");
    await add(vmm, MATRIX, { driver: 'vfio-ap', id: 'ap' });
    assert.equal(await vmm.qmp.execute('qom-get', { path: '/machine/peripheral/ap', property: 'type' }), 'vfio-ap');
    await assert.rejects(bench.vmm({ devices: [TARGET, TARGET] }), new RegExp(`vfio ${TARGET}: device is already attached`));
    // What was refused is free.
    await add(vmm, TARGET, { id: 'vf1' });
  }));

  it('that a dead VMM has left in RESUMING say so, until another has run with them', () => Bench.with({}, async (bench) => {
    const { source, target } = await bench.pair([], ['--break', 'load']);
    await quickly(source);
    let after = source.qmp.events.length;
    await source.qmp.execute('migrate', { uri: target.uri });
    await target.held('load');
    await target.kill();
    await source.qmp.status(['failed'], after);
    assert.equal(bench.target.migrationState, 'RESUMING');

    const again = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true });
    after = source.qmp.events.length;
    await source.qmp.execute('migrate', { uri: again.uri });
    await source.qmp.status(['failed'], after);
    const left = `${TARGET}: Another VMM has left the device in RESUMING: start a VMM without --incoming on it once, or create it anew`;
    assert.equal((await source.qmp.execute('query-migrate'))['error-desc'], `Sibling indicated error 1: ${left}`);
    assert.equal(await again.ended, 1);
    assert.match(again.output, /load of migration failed: Bad file descriptor/);

    assert.equal(await (await bench.vmm({ devices: [TARGET] })).end(), 0);
    const last = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true });
    after = source.qmp.events.length;
    await source.qmp.execute('migrate', { uri: last.uri });
    await source.migrated(after);
    assert.equal(await running(last), 'running');
  }));
});
