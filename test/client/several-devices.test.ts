/** VMMs with several devices, some of which come and go, and hosts that want one back. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LabOptions, Vmm } from '../../src/index.js';
import { eventually } from '../cli/mdevsim.js';
import { Bench, running, SOURCE, TARGET } from './pair.js';

const THIRD = '33333333-3333-4333-8333-333333333333';
const MULTIPLE = 'Multiple VFIO devices migration is supported only if all of them support P2P migration';
const NO_P2P = 'stop-copy';

/** Three devices, of which those can't be in RUNNING_P2P. */
async function withDevices(lacking: readonly string[], body: (bench: Bench) => Promise<void>): Promise<void> {
  const devices = [SOURCE, TARGET, THIRD].map((uuid) => ({ type: 'mtty-1', uuid }));
  await Bench.with({ devices }, async (bench) => {
    for (const uuid of lacking) await bench.device(uuid).fault('features', NO_P2P);
    await body(bench);
  });
}

const blocked = async (vmm: Vmm): Promise<readonly string[]> => (await vmm.qmp.execute('query-migrate'))['blocked-reasons'] ?? [];

describe('several devices without P2P', { timeout: 60_000 }, () => {
  it('block migration until one is left, whichever goes', () => withDevices([SOURCE], async (bench) => {
    for (const gone of ['vf1', 'vf2']) {
      const vmm = await bench.vmm({ devices: [`${SOURCE},id=vf1`, `${TARGET},id=vf2`] });
      assert.deepEqual(await blocked(vmm), [MULTIPLE]);
      await vmm.qmp.execute('device_del', { id: gone });
      assert.deepEqual(await blocked(vmm), []);
      await vmm.end();
    }
  }));

  it('block migration as long as there are two', () => withDevices([SOURCE, THIRD], async (bench) => {
    const vmm = await bench.vmm({ devices: [`${SOURCE},id=vf1`, `${TARGET},id=vf2`, `${THIRD},id=vf3`] });
    await vmm.qmp.execute('device_del', { id: 'vf2' });
    assert.deepEqual(await blocked(vmm), [MULTIPLE]);
    await assert.rejects(vmm.qmp.execute('migrate', { uri: 'unix:/nonexistent' }), { message: MULTIPLE });
  }));

  it('blocked-reasons are the oldest first, and migrate is refused with the newest', () => withDevices([SOURCE], async (bench) => {
    const vmm = await bench.vmm({ devices: [`${SOURCE},id=vf1`, `${TARGET},id=vf2`, `${THIRD},id=vf3,enable-migration=off`] });
    const disabled = `${THIRD}: Migration is disabled for VFIO device`;
    assert.deepEqual(await blocked(vmm), [MULTIPLE, disabled]);
    await assert.rejects(vmm.qmp.execute('migrate', { uri: 'unix:/nonexistent' }), { message: disabled });
  }));
});

describe('a migration that has failed', { timeout: 60_000 }, () => {
  it('is over before the next one begins, and until then `migrate` is refused', () => Bench.with({}, async (bench) => {
    const { source, target } = await bench.pair(['--break', 'iteration_finish']);
    await bench.target.fault('fail', 'RESUMING EIO 1');
    const migrate = (): Promise<unknown> => source.qmp.execute('migrate', { uri: target.uri });
    await migrate();
    await source.held('iteration_finish');
    assert.equal((await source.qmp.execute('query-migrate')).status, 'failed');
    await assert.rejects(migrate(), { message: "There's a migration process in progress" });
    await source.qmp.execute('x-mdevsim-break', { step: 'iteration_finish', enable: false });
    await source.qmp.execute('x-mdevsim-continue', {});
    await bench.recreate(TARGET);
    const second = await bench.vmm({ devices: [`${TARGET},id=vf0`], incoming: true });
    await source.qmp.execute('migrate', { uri: second.uri });
    await source.migrated();
    assert.deepEqual([await running(source), await running(second)], ['postmigrate', 'running']);
  }));

  it('gives its end notice before the start notice of one that was asked for meanwhile', () => Bench.with({ blocker: 'notify' }, async (bench) => {
    const { source, target } = await bench.pair(['--notify']);
    await bench.source.fault('fail', 'STOP_COPY EIO 1');
    // Asked for again and again, until the failure of the first one lets it in.
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.qmp.execute('x-mdevsim-break', { step: 'connect' });
    const again = async (): Promise<void> => {
      for (;;) {
        try {
          await source.qmp.execute('migrate', { uri: 'unix:/nonexistent' });
          return;
        } catch (error) {
          assert.equal((error as Error).message, "There's a migration process in progress");
        }
      }
    };
    await again();
    await source.held('connect');
    assert.throws(() => bench.source.block(), { code: 'EBUSY' });
    await source.qmp.execute('x-mdevsim-continue', {});
    await assert.rejects(source.migrated(), /Failed to connect/);
    bench.source.block();
  }));
});

describe('a device that the host wants back', { timeout: 60_000 }, () => {
  const matrix: LabOptions = {
    drivers: [{ name: 'vfio_ap', options: { apmask: '-5-6' } }],
    devices: [[SOURCE, '5'] as const, [TARGET, '6'] as const].map(([uuid, adapter]) =>
      ({ type: 'vfio_ap-passthrough', uuid, attributes: { assign_adapter: adapter, assign_domain: '4' } })),
  };

  it('stays while it migrates', () => Bench.with(matrix, async (bench) => {
    const { source, target } = await bench.pair(['--break', 'iterate']);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.held('iterate');
    const removal = bench.source.remove();
    await eventually('the refusal', () => source.output.includes('device_del not allowed while migrating'));
    assert.equal(bench.source.inUse, true);
    await source.qmp.execute('migrate_cancel');
    await source.qmp.execute('x-mdevsim-continue', {});
    await assert.rejects(source.migrated(), /the migration cancelled/);
    assert.equal(await running(source), 'running');
    await source.end();
    await removal;
  }));
});
