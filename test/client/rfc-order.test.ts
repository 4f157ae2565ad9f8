/** By the RFC: which order of device and RAM loses pages, and what a block meets with. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Bench, DEVICE, quickly, running, SOURCE, TARGET } from './pair.js';
import { cells, goOn, lab, moreRounds, program, rounds } from './rfc-pair.js';

describe('migration by the RFC, its order and blocks', { timeout: 85_000 }, () => {
  it('device-first loses nothing that the device has written; ram-first does', () => Bench.with(lab('rfc-v3'), async (bench) => {
    for (const order of ['device-first', 'ram-first'] as const) {
      const args = ['--protocol', 'rfc-v3', '--rfc-order', order];
      const breaks = ['--break', 'vm_stop', '--break', 'complete_devices'];
      const source = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], args: [...args, ...breaks] });
      const target = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true, args: [...args, '-S'] });
      await quickly(source);
      await program(bench);
      await moreRounds(bench, SOURCE);
      const after = source.qmp.events.length;
      await source.qmp.execute('migrate', { uri: target.uri });
      await source.held('vm_stop', after);
      // All of the RAM has been sent once; from here on only the log can tell what is written.
      await moreRounds(bench, SOURCE);
      await goOn(source);
      await source.held('complete_devices', after);
      const stopped = bench.source.migrationState;
      const sent = await rounds(bench, SOURCE);
      if (order === 'ram-first') await moreRounds(bench, SOURCE);
      await goOn(source);
      await source.migrated(after);
      await target.qmp.status(['completed']);
      const last = await rounds(bench, SOURCE);
      const found = await cells(bench, target);
      if (order === 'device-first') {
        assert.deepEqual([stopped, sent, found], ['STOP_COPY', last, new Set([last])]);
      } else {
        assert.deepEqual([stopped, found.has(last), sent < last], ['RUNNING', false, true]);
      }
      for (const vmm of [source, target]) await vmm.end();
    }
  }));

  it('answers EBUSY from the stop on, on the destination from the first byte on', () => Bench.with(lab('rfc-v2'), async (bench) => {
    const { source } = await bench.pair(['--protocol', 'rfc-v2', '--break', 'complete_devices'], ['--protocol', 'rfc-v2', '-S']);
    const target = bench.vmms.find((vmm) => vmm !== source);
    assert.ok(target);
    await quickly(source);
    bench.source.block();
    bench.source.block(false);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.held('complete_devices');
    assert.throws(() => bench.source.block(), { code: 'EBUSY' });
    bench.target.block();
    bench.target.block(false);
    await goOn(source);
    await source.migrated();
    assert.throws(() => bench.source.block(), { code: 'EBUSY' });
    assert.throws(() => bench.target.block(), { code: 'EBUSY' });
    await source.end();
    bench.source.block();
    await target.qmp.execute('cont');
    bench.target.block();
  }));

  it('pauses a blocked device, but does not migrate it under enforce, and goes on', () => Bench.with(
    lab('rfc', { blocker: 'enforce' }), async (bench) => {
      const { source, target } = await bench.pair(['--protocol', 'rfc', '--break', 'save_setup'], ['--protocol', 'rfc']);
      await quickly(source);
      await source.qmp.execute('migrate', { uri: target.uri });
      await source.held('save_setup');
      bench.source.block();
      await goOn(source);
      await source.qmp.status(['failed']);
      assert.equal((await source.qmp.execute('query-migrate'))['error-desc'],
        'vfio: Failed to read Device State Region: Device or resource busy');
      await source.qmp.event(({ event }) => event === 'RESUME');
      assert.deepEqual([await running(source), bench.source.migrationState], ['running', 'RUNNING']);
      assert.equal(await target.ended, 1);
      await source.qmp.execute('stop');
      assert.equal(bench.source.migrationState, 'STOP');
      await source.qmp.execute('cont');
    }));

  it('listens to the blocker\'s eventfd as ever', () => Bench.with(lab('rfc-v3'), async (bench) => {
    const source = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], args: ['--protocol', 'rfc-v3'] });
    bench.source.block();
    await source.qmp.execute('query-status');
    const text = `${SOURCE}: Migration is disabled for VFIO device`;
    await assert.rejects(source.qmp.execute('migrate', { uri: 'unix:/nowhere' }), { message: new RegExp(text) });
    bench.source.block(false);
    await source.qmp.execute('query-status');
    assert.deepEqual(await source.qmp.execute('query-migrate'), {});
  }));
});
