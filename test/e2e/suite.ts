/** What must hold for any QEMU and any way to the device: one suite, run for group and cdev, and for newer QEMU. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertBusy, assertDone } from './assert.js';
import { sh } from './child.js';
import { until } from './deadline.js';
import { SOURCE, TARGET, TestLab } from './lab.js';
import type { LabOptions } from './lab.js';
import { beginSlowly, pair, recreate } from './scenario.js';

const SHELLS = ['sh', 'bash', 'dash', 'busybox sh'].filter((shell) => sh(`command -v ${shell.split(' ')[0]}`).status === 0);
/** Register 7 of a serial port: a byte that it keeps. */
const SCRATCH_REGISTER = 7;

export interface SuiteOptions {
  readonly via: 'group' | 'cdev';
}

export function defineSuite(title: string, options: SuiteOptions): void {
  const { via } = options;
  const inLab = (lab: LabOptions, body: (lab: TestLab) => Promise<void>) => () => TestLab.with(lab, body);

  describe(title, () => {
    it('migrates there and back, device and all', inLab({ type: 'mtty-2' }, async (lab) => {
      const { source, target } = await pair(lab, via);
      const port = (await source.ioBase()) + SCRATCH_REGISTER;
      await source.out(port, 0x5a);
      assert.equal(await source.in(port), 0x5a);
      const before = source.deviceStates.length;
      const info = await source.migrate(target);
      assert.ok((info.vfio?.transferred ?? 0) >= 96, `${info.vfio?.transferred} device bytes`);
      const expected = ['pre-copy', 'pre-copy-p2p', 'stop-copy', 'stop'];
      assert.deepEqual(source.deviceStates.slice(before).filter((state) => state !== 'pre-copy-p2p-prepare'), expected);
      assert.deepEqual(target.deviceStates, ['resuming', 'running-p2p', 'running']);
      assert.equal(await target.in(port), 0x5a);
      assert.equal(lab.state(TARGET), 'RUNNING');

      await source.quit();
      const home = await lab.vm({ uuid: SOURCE, via, incoming: true });
      await target.out(port, 0xa5);
      await target.migrate(home);
      assert.equal(await home.in(port), 0xa5);
      assert.equal(await home.isRunning(), true);
    }));

    it('answers EBUSY to a shell while the migration is active, and takes a block before and after', inLab({}, async (lab) => {
      const { source, target } = await pair(lab, via);
      assertDone(lab.block(SOURCE, '1'));
      assertDone(lab.block(SOURCE, '0'));
      await beginSlowly(lab, source, target);
      for (const shell of SHELLS) {
        const { status, stderr } = lab.block(SOURCE, '1', shell);
        assert.notEqual(status, 0, shell);
        const tells = shell === 'bash' || shell.startsWith('busybox');
        assert.match(stderr, tells ? /Device or resource busy/ : /Device or resource busy|I\/O error/);
      }
      assertBusy(sh(`/bin/echo 1 > ${lab.path(SOURCE, 'migration_block')}`));
      assertDone(lab.block(SOURCE, '0'));
      assert.equal((await source.migration()).status, 'active');
      assertBusy(lab.block(TARGET, '1'));
      await source.speedUp();
      await source.reached('completed');
      assertDone(lab.block(SOURCE, '1'));
    }));

    it('takes a block again after a migration was cancelled in PRE_COPY', inLab({}, async (lab) => {
      const { source, target } = await pair(lab, via);
      await beginSlowly(lab, source, target);
      assertBusy(lab.block(SOURCE, '1'));
      await source.qmp.execute('migrate_cancel');
      await source.reached('cancelled');
      await until(10, 'the device to run again', () => (lab.state(SOURCE) === 'RUNNING' ? true : undefined));
      assertDone(lab.block(SOURCE, '1'));
      assert.equal(await source.isRunning(), true);
    }));

    it('under observe, answers EBUSY for ever after a cancelled migration', inLab({ blocker: 'observe' }, async (lab) => {
      const { source, target } = await pair(lab, via);
      await beginSlowly(lab, source, target);
      await source.qmp.execute('migrate_cancel');
      await source.reached('cancelled');
      await until(10, 'the device to run again', () => (lab.state(SOURCE) === 'RUNNING' ? true : undefined));
      assertBusy(lab.block(SOURCE, '1'));
      await source.quit();
      assertBusy(lab.block(SOURCE, '1'));
      lab.knob(SOURCE, 'blocker', 'track');
      assertDone(lab.block(SOURCE, '1'));
    }));

    it('under enforce, fails to migrate a blocked device and runs on', inLab({ blocker: 'enforce' }, async (lab) => {
      const { source, target } = await pair(lab, via);
      assertDone(lab.block(SOURCE, '1'));
      await source.startMigration(target);
      const info = await source.reached('failed');
      assert.match(info['error-desc'] ?? '', /Device or resource busy/);
      assert.equal(await source.isRunning(), true);
      assert.equal(lab.state(SOURCE), 'RUNNING');
      assertDone(lab.block(SOURCE, '0'));
    }));

    it('a transition that fails by injection fails the migration only', inLab({}, async (lab) => {
      const { source, target } = await pair(lab, via);
      lab.knob(SOURCE, 'fail', 'STOP_COPY EIO 1');
      await source.startMigration(target);
      await source.reached('failed');
      assert.equal(sh(`cat ${lab.debugfs(`mdevsim/${SOURCE}/fail`)}`).stdout, 'off\n');
      await until(10, 'the source to run again', async () => ((await source.isRunning()) ? true : undefined));
      assert.equal(lab.state(SOURCE), 'RUNNING');
      await target.child.stop('SIGKILL');
      recreate(lab, TARGET);
      await source.migrate(await lab.vm({ uuid: TARGET, via, incoming: true }));
    }));

    it('killed in the middle, leaves a device that can be opened again and nothing in the server', inLab({}, async (lab) => {
      const before = lab.serverFds();
      const { source, target } = await pair(lab, via);
      await beginSlowly(lab, source, target);
      await source.child.stop('SIGKILL');
      await target.child.stop('SIGKILL');
      await until(10, 'the server to close what it had of them', () => (lab.serverFds() <= before ? true : undefined),
        () => `${lab.serverFds()} descriptors, ${before} before`);
      assertDone(lab.block(SOURCE, '0'));
      const again = await lab.vm({ uuid: SOURCE, via });
      assert.equal(await again.isRunning(), true);
      await until(10, 'the device to run', () => (lab.state(SOURCE) === 'RUNNING' ? true : undefined));
      await again.quit();
    }));
  });
}
