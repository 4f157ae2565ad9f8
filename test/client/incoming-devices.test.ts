/** The destination's devices while a migration comes in, and when it has failed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { QmpReplyError } from '../../src/index.js';
import { Bench, DEVICE, quickly, running, SOURCE, TARGET } from './pair.js';

describe('a device of the destination', { timeout: 80_000 }, () => {
  for (const step of ['load_setup', 'load']) {
    it(`that is deleted at ${step} goes when the guest runs, as with QEMU`, () => Bench.with({}, async (bench) => {
      const { source, target } = await bench.pair([], ['--break', step]);
      await quickly(source);
      await source.qmp.execute('migrate', { uri: target.uri });
      await target.held(step);
      const pci = (): Promise<unknown> => target.qmp.executeAny('query-pci');
      const there = await pci();
      assert.deepEqual(await target.qmp.execute('device_del', { id: 'vf0' }), {});
      await assert.rejects(target.qmp.execute('device_del', { id: 'vf0' }), (error: unknown) => error instanceof QmpReplyError
        && error.desc === 'Device vf0 is already in the process of unplug');
      assert.deepEqual(await pci(), there);
      await target.qmp.execute('x-mdevsim-continue', {});
      await source.migrated();
      const { data } = await target.qmp.event(({ event }) => event === 'DEVICE_DELETED');
      assert.deepEqual(data, { device: 'vf0', path: '/machine/peripheral/vf0' });
      assert.deepEqual(await pci(), [{ bus: 0, devices: [] }]);
      await target.qmp.status(['completed']);
      assert.equal(await running(target), 'running');
      assert.equal(bench.target.migrationState, 'RUNNING');
      assert.equal(await target.end(), 0);
    }));
  }

  it('cannot be blocked after a migration until its machine is started', () => Bench.with({}, async (bench) => {
    const { source, target } = await bench.pair([], ['-S']);
    await quickly(source);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.migrated();
    await target.qmp.status(['completed']);
    await target.qmp.execute('query-status');
    assert.deepEqual([await running(target), bench.target.migrationState], ['paused', 'RESUMING']);
    assert.throws(() => bench.target.block(), { code: 'EBUSY' });
    await target.qmp.execute('cont');
    bench.target.block();
  }));

  for (const [what, end] of [['it is deleted', 'device_del'], ['the VMM ends', 'quit']] as const) {
    it(`cannot be blocked after a failed migration until ${what}`, () => Bench.with({}, async (bench) => {
      const source = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`] });
      const target = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: 'defer', args: ['--break', 'load'] });
      await target.qmp.execute('migrate-incoming', { 'uri': target.uri, 'exit-on-error': false });
      await quickly(source);
      await source.qmp.execute('migrate', { uri: target.uri });
      await target.held('load');
      await source.kill();
      await target.qmp.execute('x-mdevsim-continue', {});
      await target.qmp.status(['failed']);
      assert.equal(bench.target.migrationState, 'RESUMING');
      assert.throws(() => bench.target.block(), { code: 'EBUSY' });
      if (end === 'device_del') await target.qmp.execute('device_del', { id: 'vf0' });
      else await target.end();
      bench.target.block();
      assert.equal(bench.target.migrationRunning, false);
    }));
  }
});
