/** `mdevsim vmm` with crypto queues: attributes that block, interrupts, and migration between the matrices of two machines. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LabOptions, Vmm } from '../../src/index.js';
import { QmpReplyError } from '../../src/index.js';
import { Bench, DEVICE, running, SOURCE } from './pair.js';

const DISABLED = `${SOURCE}: Migration is disabled for VFIO device`;

/** A machine with one guest, which has domain 4 of an adapter. */
function matrix(adapter: string, options: Readonly<Record<string, string>> = {}): LabOptions {
  return {
    drivers: [{ name: 'vfio_ap', options: { apmask: '-5-6', ...options } }],
    devices: [{ type: 'vfio_ap-passthrough', uuid: SOURCE, attributes: { assign_adapter: adapter, assign_domain: '4' } }],
  };
}

/** The source on one machine, the destination on another. */
function between(
  source: LabOptions, target: LabOptions, body: (source: Bench, target: Bench, vmms: readonly [Vmm, Vmm]) => Promise<void>,
): Promise<void> {
  return Bench.with(source, (from) => Bench.with(target, async (to) => {
    const devices = [`${SOURCE},${DEVICE}`];
    await body(from, to, [await from.vmm({ devices }), await to.vmm({ devices, incoming: true })]);
  }));
}

const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error: unknown = await promise.then(() => assert.fail('it was not refused'), (reason: unknown) => reason);
  assert.ok(error instanceof QmpReplyError);
  return error.desc;
};
const migrate = (source: Vmm, target: Vmm): Promise<unknown> => source.qmp.execute('migrate', { uri: target.uri });

async function reasons(vmm: Vmm, wanted: readonly string[]): Promise<void> {
  const now = async (): Promise<readonly string[]> => (await vmm.qmp.execute('query-migrate'))['blocked-reasons'] ?? [];
  for (let tries = 0; (await now()).length !== wanted.length && tries < 200; tries++);
  assert.deepEqual(await now(), wanted);
}

describe('mdevsim vmm with vfio_ap', { timeout: 85_000 }, () => {
  it('is a vfio-ap device, migrates, and tells when the host changes the matrix', () =>
    between(matrix('5'), matrix('5'), async (from, to, [source, target]) => {
      assert.equal(await source.qmp.execute('qom-get', { path: '/machine/peripheral/vf0', property: 'type' }), 'vfio-ap');
      await from.lab.write(`sys/devices/vfio_ap/matrix/${SOURCE}/assign_domain`, '0xab');
      await from.lab.write(`sys/devices/vfio_ap/matrix/${SOURCE}/unassign_domain`, '0xab');
      await reasons(source, []);
      await migrate(source, target);
      await source.migrated();
      assert.match(source.output, /the guest's queues are now: 05\.0004\n/);
      assert.deepEqual([await running(source), await running(target)], ['postmigrate', 'running']);
      assert.deepEqual(to.states(SOURCE).slice(0, 2), ['RESUMING', 'RUNNING']);
    }));

  it('finds out too late that the destination has other queues: its device is reset, as QEMU would', () =>
    between(matrix('5'), matrix('6'), async (_from, to, [source, target]) => {
      await migrate(source, target);
      await source.migrated();
      assert.equal(await running(target), 'running');
      assert.match(target.output, /Failed setting device state to RUNNING\. Recover state is ERROR\. Resetting device: No such device\n/);
      assert.match(to.lab.klog.join('\n'), /migration failed: queue 05\.0004 not assigned to guest matrix/);
    }));

  it('is blocked by migration_block', () => Bench.with(matrix('5'), async (bench) => {
    const vmm = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`] });
    bench.source.block(true);
    await reasons(vmm, [DISABLED]);
    assert.equal(await refusal(vmm.qmp.execute('migrate', { uri: 'unix:/nonexistent' })), DISABLED);
    bench.source.block(false);
    await reasons(vmm, []);
  }));

  it('of the first version is blocked until migratable is 1, and by either attribute', () =>
    between(matrix('5', { series: 'v1' }), matrix('5', { series: 'v1' }), async (from, to, [source, target]) => {
      const migratable = (bench: Bench, value: string): Promise<void> =>
        bench.lab.write(`sys/devices/vfio_ap/matrix/${SOURCE}/migratable`, value);
      const enabled = (): Promise<unknown> =>
        source.qmp.execute('qom-get', { path: '/machine/peripheral/vf0', property: 'enable-migration' });
      await reasons(source, [DISABLED]);
      assert.equal(await enabled(), 'off');
      await migratable(from, '1');
      await reasons(source, []);
      assert.equal(await enabled(), 'auto');
      from.source.block(true);
      await migratable(from, '0');
      await reasons(source, [DISABLED, DISABLED]);
      await migratable(from, '1');
      await reasons(source, [DISABLED]);
      assert.equal(await enabled(), 'off');
      from.source.block(false);
      await reasons(source, []);
      await migratable(to, '1');
      await reasons(target, []);
      await migrate(source, target);
      await source.migrated();
      assert.deepEqual([await running(source), await running(target)], ['postmigrate', 'running']);
    }));
});
