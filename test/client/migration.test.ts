/** Two VMMs and a device: every way in which a migration can go. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Bench, DEVICE, quickly, running, slowly, SOURCE, story, TARGET } from './pair.js';

/** How many synchronisations there are depends on the machine's speed. */
const withoutPasses = (events: readonly string[]): string[] => events.filter((event) => event !== 'MIGRATION_PASS');
/** A guest that writes: the migration of one that does not is over before it can be cancelled. */
const BUSY = ['--guest-load', 'pages=2000,bytes=0'];

describe('migration between two VMMs', { timeout: 85_000 }, () => {
  it('tells its story in QEMU\'s order, and moves the device', () => Bench.with({}, async (bench) => {
    const { source, target } = await bench.pair();
    await quickly(source);
    await source.qmp.execute('migrate', { uri: target.uri });
    const info = await source.migrated();
    assert.equal(info.vfio?.transferred, 96);
    assert.equal(info.ram?.['total'], 64 << 20);
    await target.qmp.status(['completed']);
    await source.qmp.event(({ event, data }) => event === 'VFIO_MIGRATION' && data['device-state'] === 'stop');
    assert.deepEqual(withoutPasses(story(source)), [
      'MIGRATION setup', 'VFIO_MIGRATION pre-copy', 'MIGRATION active', 'VFIO_MIGRATION pre-copy-p2p',
        'VFIO_MIGRATION stop-copy', 'STOP',
      'MIGRATION device', 'MIGRATION completed', 'VFIO_MIGRATION stop',
    ]);
    assert.deepEqual(story(target), [
      'MIGRATION active', 'VFIO_MIGRATION resuming', 'RESUME', 'VFIO_MIGRATION running-p2p', 'VFIO_MIGRATION running',
        'MIGRATION completed',
    ]);
    assert.equal(await running(source), 'postmigrate');
    assert.equal(await running(target), 'running');
    assert.deepEqual(await target.qmp.execute('query-migrate'), { status: 'completed' });
    assert.deepEqual([bench.source.migrationState, bench.target.migrationState], ['STOP', 'RUNNING']);

    // And back, into a new process.
    await source.end();
    const home = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], incoming: true });
    await quickly(target);
    await target.qmp.execute('migrate', { uri: home.uri });
    await target.migrated(target.qmp.events.length);
    assert.equal(await running(home), 'running');
    assert.equal(await home.end(), 0);
  }));

  it('can be cancelled in setup, while active and before switchover, and the machine runs on', () => Bench.with({},
    async (bench) => {
    const { source, target } = await bench.pair(['--break', 'save_setup', ...BUSY]);
    let after = source.qmp.events.length;
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.held('save_setup', after);
    await source.qmp.execute('migrate_cancel');
    await source.qmp.execute('x-mdevsim-continue', {});
    await source.qmp.status(['cancelled'], after);
    assert.deepEqual(story(source, after), ['MIGRATION setup', 'X_MDEVSIM_BREAK save_setup', 'MIGRATION cancelling',
      'MIGRATION cancelled']);
    assert.equal(await target.ended, 1);
    await source.qmp.execute('x-mdevsim-break', { step: 'save_setup', enable: false });

    await bench.recreate(TARGET);
    const second = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true });
    await slowly(source);
    after = source.qmp.events.length;
    await source.qmp.execute('migrate', { uri: second.uri });
    await source.qmp.status(['active'], after);
    await source.qmp.execute('migrate_cancel');
    await source.qmp.event(({ event, data }) => event === 'VFIO_MIGRATION' && data['device-state'] === 'running', { after });
    assert.deepEqual(withoutPasses(story(source, after)), [
      'MIGRATION setup', 'VFIO_MIGRATION pre-copy', 'MIGRATION active', 'MIGRATION cancelling', 'MIGRATION cancelled',
        'VFIO_MIGRATION running',
    ]);
    assert.deepEqual(await source.qmp.execute('query-migrate'), { status: 'cancelled' });
    assert.equal(await second.ended, 1);
    assert.match(second.output, /load of migration failed: Input\/output error/);

    await bench.recreate(TARGET);
    const third = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true });
    await quickly(source);
    await source.qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'pause-before-switchover',
      state: true }] });
    after = source.qmp.events.length;
    await source.qmp.execute('migrate', { uri: third.uri });
    await source.qmp.status(['pre-switchover'], after);
    assert.equal(await running(source), 'finish-migrate');
    await source.qmp.execute('migrate_cancel');
    await source.qmp.status(['cancelled'], after);
    const last = withoutPasses(story(source, after)).slice(5);
    assert.deepEqual(last, [
      'STOP', 'MIGRATION pre-switchover', 'MIGRATION cancelling', 'RESUME', 'VFIO_MIGRATION running-p2p',
        'VFIO_MIGRATION running', 'MIGRATION cancelled',
    ]);
    const info = await source.qmp.execute('query-migrate');
    assert.deepEqual(info, { 'status': 'cancelled', 'error-desc': 'Channel error: Input/output error' });
    assert.equal(bench.source.migrationState, 'RUNNING');
    assert.equal(await running(source), 'running');
  }));

  it('waits before switchover, moves a stopped machine, and leaves the destination stopped with -S', () => Bench.with({},
    async (bench) => {
    const { source, target } = await bench.pair([], ['-S']);
    await quickly(source);
    await source.qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'pause-before-switchover',
      state: true }] });
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.qmp.status(['pre-switchover']);
    await source.qmp.execute('migrate-continue', { state: 'pre-switchover' });
    await source.migrated();
    await target.qmp.status(['completed']);
    assert.equal(await running(target), 'paused');
    assert.equal(bench.target.migrationState, 'RESUMING');
    await source.end();

    // The stopped machine goes back: no STOP, no PRE_COPY.
    const home = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], incoming: true });
    await quickly(target);
    await target.qmp.execute('cont');
    await target.qmp.execute('stop');
    const after = target.qmp.events.length;
    await target.qmp.execute('migrate', { uri: home.uri });
    await target.migrated(after);
    await target.qmp.event(({ event, data }) => event === 'VFIO_MIGRATION' && data['device-state'] === 'stop', { after });
    assert.deepEqual(withoutPasses(story(target, after)), [
      'MIGRATION setup', 'MIGRATION active', 'MIGRATION device', 'VFIO_MIGRATION stop-copy', 'MIGRATION completed',
        'VFIO_MIGRATION stop',
    ]);
    assert.equal(await running(home), 'paused');
    await home.qmp.execute('cont');
    assert.equal(bench.source.migrationState, 'RUNNING');
  }));

  it('runs on where nobody listens, the destination refuses or dies, or a transition fails', () => Bench.with({},
    async (bench) => {
    const { source, target } = await bench.pair(BUSY);
    await quickly(source);
    await source.qmp.execute('migrate', { uri: 'unix:/nonexistent/sock' });
    await source.qmp.status(['failed']);
    assert.equal((await source.qmp.execute('query-migrate'))['error-desc'],
      "Failed to connect to '/nonexistent/sock': No such file or directory");

    let after = source.qmp.events.length;
    await bench.target.fault('fail', 'RESUMING EIO 1');
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.qmp.status(['failed'], after);
    assert.match((await source.qmp.execute('query-migrate'))['error-desc'] ?? '', /Failed setting device state to RESUMING/);
    assert.equal(await target.ended, 1);

    after = source.qmp.events.length;
    await bench.recreate(TARGET);
    const second = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true });
    await bench.source.fault('fail', 'STOP_COPY EIO 1');
    await source.qmp.execute('migrate', { uri: second.uri });
    await source.qmp.status(['failed'], after);
    await source.qmp.event(({ event }) => event === 'RESUME', { after });
    assert.match((await source.qmp.execute('query-migrate'))['error-desc'] ?? '', /Failed setting device state to STOP_COPY/);
    assert.equal(await second.ended, 1);

    after = source.qmp.events.length;
    await bench.recreate(TARGET);
    const third = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true, args: ['--break', 'load'] });
    await slowly(source);
    await source.qmp.execute('migrate', { uri: third.uri });
    await source.qmp.status(['active'], after);
    await third.kill();
    await source.qmp.status(['failed'], after);
    // Which of the two notices the dead destination first is a matter of timing, as in QEMU with a return path.
    assert.match((await source.qmp.execute('query-migrate'))['error-desc'] ?? '', /^Unable to (write to|read from) socket: /);
    assert.equal(await running(source), 'running');

    after = source.qmp.events.length;
    await bench.recreate(TARGET);
    const last = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true });
    await quickly(source);
    await source.qmp.execute('migrate', { uri: last.uri });
    await source.migrated(after);
    assert.equal(await running(last), 'running');
  }));
});
