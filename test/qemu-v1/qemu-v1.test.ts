/** QEMU 7.2, Debian 12's own, and the v1 migration region. Opt-in: scripts/test --qemu-v1. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { debianQemu } from '../debian-tree.js';
import { until, within } from '../e2e/deadline.js';

const qemu = debianQemu('qemu-v1', 'bookworm');

if (typeof qemu !== 'string') describe('QEMU 7.2', () => void it('runs', { skip: qemu.missing }));
else {
  // The harness reads it when it is loaded.
  process.env['MDEVSIM_TEST_QEMU'] = qemu;
  const [{ beginSlowly, defineVgpuSuite, V2 }, { VgpuLab }, { SOURCE, TARGET }, { assertBusy, assertDone }] = await Promise.all([
    import('../e2e/vgpu-suite.js'), import('../e2e/vgpu.js'), import('../e2e/lab.js'), import('../e2e/assert.js'),
  ]);
  const generation = { via: 'group', protocol: 'v1', device: 'x-enable-migration=on' } as const;
  defineVgpuSuite('QEMU 7.2 and the v1 region', {
    ...generation,
    sourceSteps: ['RUNNING>PRE_COPY', 'PRE_COPY>PRE_COPY_P2P', 'PRE_COPY_P2P>STOP_COPY', 'STOP_COPY>STOP'],
    targetSteps: V2.targetSteps,
  });

  describe('QEMU 7.2', () => {
    it('migrates a machine that is paused', () => VgpuLab.with(generation, async (vgpus) => {
      const { source, target } = await vgpus.pair();
      await source.writeRegister(0x1000, 5);
      await source.vm.qmp.execute('stop');
      assert.equal(vgpus.lab.state(SOURCE), 'STOP');
      await source.vm.startMigration(target.vm);
      await source.vm.reached('completed');
      await until(20, 'the target to have everything', async () =>
        ((await target.vm.qmp.execute('query-status')).status === 'paused' ? true : undefined));
      await target.vm.qmp.execute('cont');
      assert.equal(vgpus.lab.state(TARGET), 'RUNNING');
      assert.equal(await target.readRegister(0x1000), 5);
    }));

    it('runs on after a STOP_COPY that fails', () => VgpuLab.with(generation, async (vgpus) => {
      const { source, target } = await vgpus.pair();
      await source.startDma();
      vgpus.lab.knob(SOURCE, 'fail', 'STOP_COPY EIO 1');
      await source.vm.startMigration(target.vm);
      await source.vm.reached('failed');
      await until(10, 'the source to run', async () => ((await source.vm.isRunning()) ? true : undefined));
      assert.equal(vgpus.lab.state(SOURCE), 'RUNNING');
      await source.dmaGoesOn();
    }));

    it('ends itself when the device is in the error state', () => VgpuLab.with(generation, async (vgpus) => {
      const { source, target } = await vgpus.pair();
      vgpus.lab.knob(SOURCE, 'fail', 'PRE_COPY EIO 1 ERROR');
      await source.vm.startMigration(target.vm);
      await within(20, 'QEMU to end', source.vm.child.ended);
      assert.match(source.vm.child.output, /Device in error state 0x6/);
    }));

    it('under observe, leaves EBUSY for ever after a cancel', () => VgpuLab.with(generation, async (vgpus) => {
      const { lab } = vgpus;
      const { source, target } = await vgpus.pair();
      assertDone(lab.block(SOURCE, '1'));
      assertDone(lab.block(SOURCE, '0'));
      await beginSlowly(vgpus, source, target);
      await until(20, 'a read of pending_bytes', () => (lab.server.output.includes('migration.size') ? true : undefined));
      await source.vm.qmp.execute('migrate_cancel');
      await source.vm.reached('cancelled');
      await until(10, 'the device to run', () => (lab.state(SOURCE) === 'RUNNING' ? true : undefined));
      assertBusy(lab.block(SOURCE, '1'));
      await source.vm.quit();
      assertBusy(lab.block(SOURCE, '1'));
    }, { blocker: 'observe' }));

    it('does not migrate a device that speaks v2', () => VgpuLab.with({ ...generation, protocol: 'v2' }, async (vgpus) => {
      const { source, target } = await vgpus.pair();
      await assert.rejects(source.vm.startMigration(target.vm), /VFIO device doesn't support migration/);
    }));
  });
}
