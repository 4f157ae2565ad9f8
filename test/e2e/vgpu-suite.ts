/** What must hold for a vGPU in any generation of the migration protocol: one suite, run with the QEMU that speaks it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertBusy, assertDone } from './assert.js';
import { until } from './deadline.js';
import { SOURCE, TARGET } from './lab.js';
import type { LabOptions } from './lab.js';
import { recreate } from './scenario.js';
import { VgpuLab } from './vgpu.js';
import type { Generation, Vgpu } from './vgpu.js';

/** Registers without a meaning: near the beginning, in the middle, and in the last page. */
const REGISTERS = [0x1000, 0xf_0ff8, 0xff_fffc];

export interface VgpuSuite extends Generation {
  /** Steps of the machine behind the protocol, from the start of the VM to the end of a migration, without resets. */
  readonly sourceSteps: readonly string[];
  readonly targetSteps: readonly string[];
}

/** A migration that does not end by itself; the device is in PRE_COPY then. */
export async function beginSlowly({ lab }: VgpuLab, source: Vgpu, target: Vgpu): Promise<void> {
  await source.vm.startMigration(target.vm, true);
  await until(20, 'the device to be in PRE_COPY', () => (lab.state(SOURCE) === 'PRE_COPY' ? true : undefined));
}

const afterReset = (steps: readonly string[]): readonly string[] => steps.filter((step) => step !== 'RUNNING>RUNNING');

export function defineVgpuSuite(title: string, suite: VgpuSuite): void {
  const inLab = (body: (lab: VgpuLab) => Promise<void>, options?: LabOptions) => () => VgpuLab.with(suite, body, options);

  describe(title, () => {
    it('migrates registers, memory that DMA wrote until the device stopped, and the DMA program', inLab(async (vgpus) => {
      const source = await vgpus.vm(SOURCE);
      for (const [n, offset] of REGISTERS.entries()) await source.writeRegister(offset, 0x1234_0000 + n);
      await source.startDma();
      await source.dmaGoesOn();
      const paused = await vgpus.vm(TARGET, { incoming: true, args: ['-S'] });
      await source.vm.startMigration(paused.vm);
      await source.vm.reached('completed');
      const { rounds } = source.dma;
      await until(20, 'the target to have everything', async () =>
        ((await paused.vm.qmp.execute('query-status')).status === 'paused' ? true : undefined));
      await paused.assertMemory(rounds);
      // QEMU says completed before it cleans up.
      await until(10, 'the source to be stopped', () => (vgpus.lab.state(SOURCE) === 'STOP' ? true : undefined));
      assert.equal(source.dma.rounds, rounds, 'a stopped device does no DMA');
      await paused.vm.qmp.execute('cont');
      await paused.dmaGoesOn();
      assert.ok(paused.dma.rounds > rounds, 'it goes on with the number after');
      assert.equal(paused.dma.program, '0x1000000 0x10000 5');
      for (const [n, offset] of REGISTERS.entries()) assert.equal(await paused.readRegister(offset), 0x1234_0000 + n);
      assert.deepEqual(afterReset(vgpus.steps(SOURCE)), suite.sourceSteps);
      assert.deepEqual(afterReset(vgpus.steps(TARGET)), suite.targetSteps);
    }));

    it('migrates back', inLab(async (vgpus) => {
      const { source, target } = await vgpus.pair();
      await source.writeRegister(0x2000, 1);
      await source.vm.migrate(target.vm);
      await source.vm.quit();
      await target.writeRegister(0x2000, 2);
      const home = await vgpus.vm(SOURCE, { incoming: true });
      await target.vm.migrate(home.vm);
      assert.equal(await home.readRegister(0x2000), 2);
      assert.equal(await home.vm.isRunning(), true);
    }));

    it('answers EBUSY to a block in the middle, and takes it before and after', inLab(async (vgpus) => {
      const { lab } = vgpus;
      const { source, target } = await vgpus.pair();
      assertDone(lab.block(SOURCE, '1'));
      assertDone(lab.block(SOURCE, '0'));
      await source.startDma();
      await beginSlowly(vgpus, source, target);
      assertBusy(lab.block(SOURCE, '1'));
      await until(20, 'the target to be told', () => (lab.state(TARGET) === 'RESUMING' ? true : undefined));
      assertBusy(lab.block(TARGET, '1'));
      await source.vm.speedUp();
      await source.vm.reached('completed');
      assertDone(lab.block(SOURCE, '1'));
      assertDone(lab.block(SOURCE, '0'));
    }));

    it('runs on, DMA and all, after a cancelled migration', inLab(async (vgpus) => {
      const { source, target } = await vgpus.pair();
      await source.startDma();
      await beginSlowly(vgpus, source, target);
      await source.dmaGoesOn();
      await source.vm.qmp.execute('migrate_cancel');
      await source.vm.reached('cancelled');
      await until(10, 'the device to run', () => (vgpus.lab.state(SOURCE) === 'RUNNING' ? true : undefined));
      await source.dmaGoesOn();
      assertDone(vgpus.lab.block(SOURCE, '1'));
      assert.equal(await source.vm.isRunning(), true);
    }));

    it('under enforce, does not migrate a blocked device and runs on', inLab(async (vgpus) => {
      const { lab } = vgpus;
      const { source, target } = await vgpus.pair();
      await source.startDma();
      assertDone(lab.block(SOURCE, '1'));
      await source.vm.startMigration(target.vm);
      await source.vm.reached('failed');
      await until(10, 'the source to run', async () => ((await source.vm.isRunning()) ? true : undefined));
      assert.equal(lab.state(SOURCE), 'RUNNING');
      await source.dmaGoesOn();
      assertDone(lab.block(SOURCE, '0'));
    }, { blocker: 'enforce' }));

    it('a transition that fails fails the migration only', inLab(async (vgpus) => {
      const { lab } = vgpus;
      const { source, target } = await vgpus.pair();
      await source.writeRegister(0x3000, 0xabcd);
      lab.knob(SOURCE, 'fail', 'PRE_COPY EIO 1');
      await source.vm.startMigration(target.vm);
      await source.vm.reached('failed');
      await until(10, 'the source to run', async () => ((await source.vm.isRunning()) ? true : undefined));
      assert.equal(lab.state(SOURCE), 'RUNNING');
      await target.vm.child.stop('SIGKILL');
      recreate(lab, TARGET);
      const again = await vgpus.vm(TARGET, { incoming: true });
      await source.vm.migrate(again.vm);
      assert.equal(await again.readRegister(0x3000), 0xabcd);
    }));

    it('migrates with 512 KiB of generated state beside its own', inLab(async (vgpus) => {
      const { lab } = vgpus;
      const { source, target } = await vgpus.pair();
      lab.knob(SOURCE, 'state_size', String(512 << 10));
      lab.knob(SOURCE, 'dirty_rate', String(64 << 10));
      await source.writeRegister(0x4000, 0x77);
      await source.vm.migrate(target.vm);
      assert.equal(await target.readRegister(0x4000), 0x77);
    }));
  });
}

/** v2, as the ordinary QEMU has it: a device is started through RUNNING_P2P. */
export const V2: Pick<VgpuSuite, 'sourceSteps' | 'targetSteps'> = {
  sourceSteps: [
    'RUNNING>RUNNING_P2P', 'RUNNING_P2P>RUNNING',
    'RUNNING>PRE_COPY', 'PRE_COPY>PRE_COPY_P2P', 'PRE_COPY_P2P>STOP_COPY', 'STOP_COPY>STOP',
  ],
  targetSteps: [
    'RUNNING>RUNNING_P2P', 'RUNNING_P2P>STOP', 'STOP>RESUMING',
    'RESUMING>STOP', 'STOP>RUNNING_P2P', 'RUNNING_P2P>RUNNING',
  ],
};
