/** Faults, sizes and features that a lab can give a device, as stock QEMU takes them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertBusy, assertDone } from './assert.js';
import { until } from './deadline.js';
import { SOURCE, TARGET, TestLab } from './lab.js';
import { whyNoQemu } from './requirements.js';
import { beginSlowly, pair } from './scenario.js';

const MIB = 1 << 20;
const skip = whyNoQemu() ?? false;
const inLab = (body: (lab: TestLab) => Promise<void>, blocker = 'track') => () => TestLab.with({ blocker }, body);

/** Features, and the states that QEMU then brings the source and the target through. */
const FEATURES = [
  ['stop-copy', ['stop', 'stop-copy', 'stop'], ['resuming', 'running']],
  ['stop-copy p2p', ['running-p2p', 'stop', 'stop-copy', 'stop'], ['resuming', 'running-p2p', 'running']],
  ['stop-copy pre-copy', ['pre-copy', 'stop-copy', 'stop'], ['resuming', 'running']],
] as const;

describe('stock QEMU and a device', { skip }, () => {
  for (const [features, source, target] of FEATURES) {
    it(`with ${features} only`, inLab(async (lab) => {
      for (const uuid of [SOURCE, TARGET]) lab.knob(uuid, 'features', features);
      const vms = await pair(lab);
      const before = vms.source.deviceStates.length;
      await vms.source.migrate(vms.target);
      assert.deepEqual(vms.source.deviceStates.slice(before), source);
      assert.deepEqual(vms.target.deviceStates, target);
    }));
  }

  it('of 100 MB that changes while it is copied', inLab(async (lab) => {
    const { source, target } = await pair(lab);
    lab.knob(SOURCE, 'state_size', String(100 * MIB));
    lab.knob(SOURCE, 'dirty_rate', String(MIB));
    const info = await source.migrate(target);
    const moved = info.vfio?.transferred ?? 0;
    assert.ok(moved >= 100 * MIB && moved < 300 * MIB, `${moved} device bytes`);
  }));

  it('of 300 MB that is copied when the machine has stopped', inLab(async (lab) => {
    const { source, target } = await pair(lab);
    lab.knob(SOURCE, 'state_size', String(300 * MIB));
    await source.qmp.execute('migrate-set-parameters', { 'downtime-limit': 60_000 });
    const info = await source.migrate(target);
    assert.ok((info.vfio?.transferred ?? 0) >= 300 * MIB);
  }));

  it('whose stream fails in the middle: the migration fails and the machine runs on', inLab(async (lab) => {
    const { source, target } = await pair(lab);
    lab.knob(SOURCE, 'stream_fail', '40 EIO');
    await source.startMigration(target);
    await source.reached('failed');
    await until(10, 'the source to run again', async () => ((await source.isRunning()) ? true : undefined));
    assert.equal(lab.state(SOURCE), 'RUNNING');
  }));

  it('whose stream is cut: the source does not notice, the target resets its device', inLab(async (lab) => {
    const { source, target } = await pair(lab);
    lab.knob(SOURCE, 'stream_cut', '40');
    await source.startMigration(target);
    await source.reached('completed');
    await until(10, 'the target to run', async () => ((await target.isRunning()) ? true : undefined));
    assert.equal(lab.state(TARGET), 'RUNNING');
    assert.match(target.child.output, /Failed setting device state/);
  }));

  it('that goes to ERROR is reset by QEMU', inLab(async (lab) => {
    const { source, target } = await pair(lab);
    lab.knob(SOURCE, 'fail', 'STOP_COPY EIO 1 ERROR');
    await source.startMigration(target);
    await source.reached('failed');
    await until(10, 'the device to run again', () => (lab.state(SOURCE) === 'RUNNING' ? true : undefined));
  }));

  it('that is slow to enter PRE_COPY when QEMU is killed stays as it was', inLab(async (lab) => {
    const { source, target } = await pair(lab);
    lab.knob(SOURCE, 'delay', 'PRE_COPY 60000');
    // Until the ioctl returns, QEMU holds its big lock, so that QMP may not answer.
    source.startMigration(target).catch(() => undefined);
    await until(10, 'QEMU to ask for the size, just before PRE_COPY', () => {
      const busy = lab.block(SOURCE, '1').status !== 0;
      lab.block(SOURCE, '0');
      return busy ? true : undefined;
    });
    await source.child.stop('SIGKILL');
    assert.equal(lab.state(SOURCE), 'RUNNING');
    lab.knob(SOURCE, 'delay', 'off');
    await lab.vm({ uuid: SOURCE, via: 'group' });
  }, 'observe'));
});

describe('stock QEMU stopped and continued by its user in PRE_COPY', { skip }, () => {
  it('loses its data file: the migration fails, and the machine runs on', inLab(async (lab) => {
    const { source, target } = await pair(lab);
    await beginSlowly(lab, source, target);
    await source.qmp.execute('stop');
    assert.equal(lab.state(SOURCE), 'STOP_COPY');
    await source.qmp.execute('cont');
    assert.equal(lab.state(SOURCE), 'RUNNING');
    await source.speedUp();
    await source.reached('failed');
    assert.match(source.child.output, /data_fd out of sync/);
    await until(10, 'the source to run again', async () => ((await source.isRunning()) ? true : undefined));
    assert.equal(lab.state(SOURCE), 'RUNNING');
  }));
});

describe('stock QEMU and the blocker', { skip }, () => {
  it('under track, a block that came first does not stop a migration', inLab(async (lab) => {
    const { source, target } = await pair(lab);
    assertDone(lab.block(SOURCE, '1'));
    await source.migrate(target);
    assertDone(lab.block(SOURCE, '1'));
  }));

  for (const [blocker, outcome] of [['track', 'frees the block'], ['observe', 'leaves it busy']] as const) {
    it(`under ${blocker}, a migration cancelled after the machine had stopped ${outcome}`, inLab(async (lab) => {
      const { source, target } = await pair(lab);
      const capabilities = [{ capability: 'pause-before-switchover', state: true }];
      await source.qmp.execute('migrate-set-capabilities', { capabilities });
      await source.startMigration(target);
      await source.reached('pre-switchover');
      assert.equal(lab.state(SOURCE), 'STOP_COPY');
      assertBusy(lab.block(SOURCE, '1'));
      await source.qmp.execute('migrate_cancel');
      await source.reached('cancelled');
      await until(10, 'the device to run again', () => (lab.state(SOURCE) === 'RUNNING' ? true : undefined));
      if (blocker === 'track') assertDone(lab.block(SOURCE, '1'));
      else assertBusy(lab.block(SOURCE, '1'));
    }, blocker));
  }
});

describe('two labs', { skip }, () => {
  it('one saves what the other loads', () => TestLab.with({}, (here) => TestLab.with({}, async (there) => {
    const [source, target] = await Promise.all([
      here.vm({ uuid: SOURCE, via: 'group' }), there.vm({ uuid: TARGET, via: 'cdev', incoming: true }),
    ]);
    const port = (await source.ioBase()) + 7;
    await source.out(port, 0x42);
    await source.migrate(target);
    assert.equal(await target.in(port), 0x42);
  })));
});
