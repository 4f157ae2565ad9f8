/** What a management client sees of devices that block, come and go, and of the ways in which a migration is announced. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Vmm } from '../../src/index.js';
import { QmpReplyError } from '../../src/index.js';
import { Bench, DEVICE, quickly, running, SOURCE, story, TARGET } from './pair.js';

const refused = (promise: Promise<unknown>, desc: string | RegExp): Promise<void> =>
  assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof QmpReplyError);
    if (typeof desc === 'string') assert.equal(error.desc, desc);
    else assert.match(error.desc, desc);
    return true;
  });
const capability = (vmm: Vmm, name: string, state: boolean): Promise<unknown> =>
  vmm.qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: name, state }] });
const blockedReasons = async (vmm: Vmm): Promise<readonly string[]
  | undefined> => (await vmm.qmp.execute('query-migrate'))['blocked-reasons'];

describe('mdevsim vmm with devices', { timeout: 85_000 }, () => {
  it('refuses at once what VFIO cannot do, and nothing has changed', () => Bench.with({}, async (bench) => {
    const vmm = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`] });
    const migrate = (): Promise<unknown> => vmm.qmp.execute('migrate', { uri: 'unix:/nonexistent/sock' });
    for (const [name, text] of [['postcopy-ram', 'postcopy migration'], ['background-snapshot',
      'background snapshot']] as const) {
      await capability(vmm, name, true);
      await refused(migrate(), `${SOURCE}: VFIO migration is not supported with ${text}`);
      await capability(vmm, name, false);
    }
    await capability(vmm, 'multifd', true);
    await refused(migrate(), "mdevsim vmm does not have the capability 'multifd'");
    assert.deepEqual([await vmm.qmp.execute('query-migrate'), story(vmm)], [{}, []]);
  }));

  it('has blockers: of a device, of the eventfd, and none with --only-migratable', () => Bench.with({}, async (bench) => {
    const [vmm, strict] = await Promise.all([
      bench.vmm({ devices: [`${SOURCE},${DEVICE}`] }), bench.vmm({ devices: [], args: ['--only-migratable'] }),
    ]);
    const reason = `${SOURCE}: Migration is disabled for VFIO device`;
    bench.source.block(true);
    await bench.source.read('migration_block');
    await vmm.qmp.execute('query-status');
    for (let tries = 0; await blockedReasons(vmm) === undefined && tries < 100; tries++);
    assert.deepEqual(await blockedReasons(vmm), [reason]);
    await refused(vmm.qmp.execute('migrate', { uri: 'unix:/nonexistent/sock' }), reason);
    assert.equal(await vmm.qmp.execute('qom-get', { path: '/machine/peripheral/vf0', property: 'enable-migration' }), 'off');
    bench.source.block(false);
    for (let tries = 0; await blockedReasons(vmm) !== undefined && tries < 100; tries++);
    assert.equal(await blockedReasons(vmm), undefined);

    const add = (target: Vmm, more: Record<string, string>): Promise<unknown> =>
      target.qmp.execute('device_add', { driver: 'vfio-pci', sysfsdev: `/sys/bus/mdev/devices/${TARGET}`, ...more });
    await refused(add(strict, { 'enable-migration': 'off' }), /disallowing migration blocker \(--only-migratable\) for: .*: Migration is disabled for VFIO device$/);
    await add(vmm, { 'id': 'vf1', 'enable-migration': 'off' });
    assert.deepEqual(await blockedReasons(vmm), [`${TARGET}: Migration is disabled for VFIO device`]);
    await refused(add(vmm, { id: 'vf1' }), "Duplicate device ID 'vf1'");
    await refused(add(vmm, { id: 'vf2', sysfsdev: '/sys/bus/mdev/devices/nope' }), /no such host device/);
    await refused(add(vmm, { id: 'vf2', sysfsdev: '' }), 'No provided host device');
    await refused(add(vmm, { id: 'vf2', nope: '1' }), "Property 'vfio-pci.nope' not found");
    await refused(add(vmm, { 'id': 'vf2', 'enable-migration': 'maybe' }),
      "Parameter 'enable-migration' does not accept value 'maybe'");
    await vmm.qmp.execute('device_del', { id: 'vf1' });
    const deleted = await vmm.qmp.event(({ event }) => event === 'DEVICE_DELETED');
    assert.deepEqual(deleted.data, { device: 'vf1', path: '/machine/peripheral/vf1' });
    assert.equal(await blockedReasons(vmm), undefined);
    await refused(vmm.qmp.execute('qom-get', { path: '/machine/peripheral/vf1', property: 'type' }),
      "Device '/machine/peripheral/vf1' not found");
  }));

  it('says before a transition that it is about to be made, if asked to', () => Bench.with({}, async (bench) => {
    const { source, target } = await bench.pair(['--prepare-events', 'all'], ['--prepare-events', 'merged']);
    await quickly(source);
    const delay = 300;
    await bench.source.fault('delay', `PRE_COPY_P2P ${delay}`);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.migrated();
    await source.qmp.event(({ event, data }) => event === 'VFIO_MIGRATION' && data['device-state'] === 'stop');
    const vfio = source.qmp.events.filter(({ event }) => event.startsWith('VFIO_MIGRATION'));
    assert.deepEqual(vfio.map(({ event, data }) => `${event === 'VFIO_MIGRATION' ? '' : 'before '}${String(data['device-state'])}`), [
      'before pre-copy', 'pre-copy', 'before pre-copy-p2p', 'pre-copy-p2p', 'before stop-copy', 'stop-copy', 'before stop',
        'stop',
    ]);
    const at = (index: number): number => {
      const { seconds = 0, microseconds = 0 } = vfio[index]?.timestamp ?? {};
      return seconds * 1000 + microseconds / 1000;
    };
    assert.ok(at(3) - at(2) >= delay - 1, `${at(3) - at(2)} ms`);

    // QEMU 11's has only one, in place.
    await source.end();
    await bench.recreate(SOURCE);
    const home = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], incoming: true });
    await quickly(target);
    const after = target.qmp.events.length;
    await target.qmp.execute('migrate', { uri: home.uri });
    await target.migrated(after);
    const states = story(target, after).filter((event) => event.startsWith('VFIO_MIGRATION'));
    assert.deepEqual(states.slice(0, 4).map((event) => event.slice('VFIO_MIGRATION '.length)), ['pre-copy',
      'pre-copy-p2p-prepare', 'pre-copy-p2p', 'stop-copy']);
  }));

  it('goes over TCP, by either version, with several devices', () => Bench.with({ devices: Array.from({ length: 4 },
    () => ({ type: 'mtty-1' })) }, async (bench) => {
    const uuids = bench.lab.devices.map(({ uuid }) => uuid);
    const devices = (from: number): string[] =>
      uuids.slice(from, from + 2).map((uuid, index) => `${uuid},id=vf${index},migration-events=on`);
    let source = await bench.vmm({ devices: devices(0) });
    for (const [from, host, address] of [[2, '127.0.0.1', '127.0.0.1'], [0, '[::1]', '::1']] as const) {
      const target = await bench.vmm({ devices: devices(from), incoming: 'defer' });
      await target.qmp.execute('migrate-incoming', { uri: `tcp:${host}:0` });
      const [bound] = (await target.qmp.execute('query-migrate'))['socket-address'] ?? [];
      assert.ok(bound);
      assert.equal(bound.host, address);
      await quickly(source);
      const after = source.qmp.events.length;
      await source.qmp.execute('migrate', { uri: `tcp:${host}:${bound.port}` });
      const { vfio } = await source.migrated(after);
      assert.equal(vfio?.transferred, 2 * 60);
      assert.equal(await running(target), 'running');
      await source.end();
      source = target;
    }
  }));

  it('gives notice to drivers, and takes their no', () => Bench.with({ blocker: 'enforce' }, async (bench) => {
    const { source, target } = await bench.pair(['--notify', '--break', 'connect', '--break', 'notifiers.end'], []);
    await quickly(source);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.held('connect');
    assert.throws(() => bench.source.block(), { code: 'EBUSY' });
    assert.equal(bench.source.migrationState, 'RUNNING');
    await source.qmp.execute('x-mdevsim-continue', {});
    await source.held('notifiers.end');
    assert.throws(() => bench.source.block(), { code: 'EBUSY' });
    await source.qmp.execute('x-mdevsim-continue', {});
    for (let tries = 0; bench.source.migrationRunning && tries < 100; tries++) await source.qmp.execute('query-status');
    bench.source.block();
    await source.end();

    // A VMM that does not know of the eventfd, so that only the driver can say no.
    await bench.recreate(SOURCE);
    const deaf = await bench.vmm({ devices: [`${SOURCE},id=vf0,blocker=off`], args: ['--notify'] });
    bench.source.block();
    await refused(deaf.qmp.execute('migrate', { uri: 'unix:/nonexistent/sock' }),
      `${SOURCE}: The driver refused the start of a migration: Device or resource busy`);
    assert.deepEqual([await deaf.qmp.execute('query-migrate'), story(deaf)], [{}, []]);
  }));
});
