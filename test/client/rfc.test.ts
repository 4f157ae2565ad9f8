/** The RFC's protocols between two VMMs and two vGPUs, on a mounted lab. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabOptions, Vmm } from '../../src/index.js';
import { Bench, DEVICE, quickly, running, SOURCE, story, TARGET } from './pair.js';

const VERSIONS = ['rfc', 'rfc-v2', 'rfc-v3'] as const;
type Version = (typeof VERSIONS)[number];

const lab = (protocol: Version, options: LabOptions = {}): LabOptions => ({
  devices: [{ type: 'i915-GVTg_V5_8', uuid: SOURCE }, { type: 'i915-GVTg_V5_8', uuid: TARGET }],
  drivers: [{ name: 'gvt', options: { protocol } }], ...options,
});

/** Where the device writes, and how much. */
const AT = 1 << 20;
const LENGTH = 64 << 10;
/** ms between two rounds. */
const PAUSE = 2;

const rounds = async (bench: Bench, uuid: string): Promise<number> =>
  Number(/^rounds (\d+)$/m.exec(await bench.device(uuid).readFault('dma'))?.[1]);

/** Waits for `count` more rounds. */
async function moreRounds(bench: Bench, uuid: string, count = 2): Promise<void> {
  const wanted = await rounds(bench, uuid) + count;
  for (let n = 0; n < 2000 && await rounds(bench, uuid) < wanted; n++) await sleep(PAUSE);
  assert.ok(await rounds(bench, uuid) >= wanted, 'the device goes on writing');
}

/** Sequence numbers in the cells of the range that the device writes, in the VMM's memory. */
async function cells(bench: Bench, vmm: Vmm): Promise<Set<number>> {
  const filename = join(bench.scratch, 'memory');
  await vmm.qmp.execute('pmemsave', { val: AT, size: LENGTH, filename });
  const memory = readFileSync(filename);
  const found = new Set<number>();
  for (let at = 0; at < LENGTH; at += 16) found.add(memory[at] === 0 ? 0 : Number(memory.readBigUInt64LE(at + 8)));
  return found;
}

const program = (bench: Bench): Promise<void> => bench.source.fault('dma', `${AT} ${LENGTH} ${PAUSE}`);
const goOn = (vmm: Vmm): Promise<unknown> => vmm.qmp.execute('x-mdevsim-continue', {});

describe('migration by the RFC', { timeout: 85_000 }, () => {
  for (const version of VERSIONS) {
    it(`${version}: there and back, with the device's state and what it has written`, () => Bench.with(lab(version), async (bench) => {
      const { source, target } = await bench.pair(['--protocol', version], ['--protocol', version, '-S']);
      await quickly(source);
      await program(bench);
      await moreRounds(bench, SOURCE);
      await source.qmp.execute('migrate', { uri: target.uri });
      const info = await source.migrated();
      assert.ok((info.vfio?.transferred ?? 0) > 16 << 20, 'the whole region');
      await target.qmp.status(['completed']);
      assert.deepEqual(story(source).filter((event) => event !== 'MIGRATION_PASS'), [
        'MIGRATION setup', 'MIGRATION active', 'STOP', 'MIGRATION device', 'MIGRATION completed',
      ]);
      assert.deepEqual([bench.source.migrationState, bench.target.migrationState], ['STOP_COPY', 'RESUMING']);
      assert.equal(await running(target), 'paused');
      const written = await rounds(bench, SOURCE);
      assert.deepEqual(await cells(bench, target), new Set([written]));
      await target.qmp.execute('cont');
      assert.equal(bench.target.migrationState, 'RUNNING');
      // It goes on where it was.
      await moreRounds(bench, TARGET);
      assert.ok(await rounds(bench, TARGET) > written);
      await source.end();
      assert.equal(bench.source.migrationState, 'RUNNING');

      const home = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], incoming: true, args: ['--protocol', version] });
      await quickly(target);
      await target.qmp.execute('migrate', { uri: home.uri });
      await target.migrated(target.qmp.events.length);
      assert.equal(await running(home), 'running');
      await moreRounds(bench, SOURCE);
    }));
  }

  it('device-first loses nothing that the device has written; ram-first does, whatever the version', () => Bench.with(lab('rfc-v3'), async (bench) => {
    for (const order of ['device-first', 'ram-first'] as const) {
      const args = ['--protocol', 'rfc-v3', '--rfc-order', order];
      const source = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], args: [...args, '--break', 'vm_stop', '--break', 'complete_devices'] });
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

  it('answers EBUSY from the stop on, and on the destination from the first byte on', () => Bench.with(lab('rfc-v2'), async (bench) => {
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

  it('does not migrate a device that lacks the region, nor one whose dirty pages nobody can tell', () => Bench.with(lab('rfc-v3'), async (bench) => {
    const text = 'Migration disabled: cannot support device state region';
    for (const protocol of ['rfc', 'rfc-v2'] as const) {
      const source = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], args: ['--protocol', protocol] });
      const blocked = (await source.qmp.execute('query-migrate'))['blocked-reasons'];
      // v1 has the region at a fixed index, where the others have it too: there is no way to tell.
      assert.deepEqual(blocked, protocol === 'rfc' ? undefined : [text]);
      await source.end();
    }
    await assert.rejects(bench.vmm({ devices: [`${SOURCE},enable-migration=on`], args: ['--protocol', 'rfc-v2'] }), new RegExp(text));
    const off = await bench.vmm({ devices: [`${SOURCE},enable-migration=off`], args: ['--protocol', 'rfc-v3'] });
    assert.deepEqual((await off.qmp.execute('query-migrate'))['blocked-reasons'], [`${SOURCE}: Migration is disabled for VFIO device`]);
    await off.end();
    const cdev = await bench.vmm({ devices: [`${SOURCE},iommufd=on`], args: ['--protocol', 'rfc-v3'] });
    assert.deepEqual((await cdev.qmp.execute('query-migrate'))['blocked-reasons'],
      [`${SOURCE}: iommufd can't be asked for dirty pages as the RFC proposed`]);
    await cdev.end();
    const v2 = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`] });
    assert.deepEqual((await v2.qmp.execute('query-migrate'))['blocked-reasons'], [`${SOURCE}: VFIO migration is not supported in kernel`]);
  }));

  it('runs on where anything goes wrong on the way', () => Bench.with(lab('rfc'), async (bench) => {
    const { source, target } = await bench.pair(['--protocol', 'rfc'], ['--protocol', 'rfc']);
    await quickly(source);
    const failure = async (destination: Vmm): Promise<string> => {
      const after = source.qmp.events.length;
      await source.qmp.execute('migrate', { uri: destination.uri });
      await source.qmp.status(['failed'], after);
      await source.qmp.event(({ event }) => event === 'RESUME', { after });
      assert.deepEqual([await running(source), bench.source.migrationState], ['running', 'RUNNING']);
      assert.equal(await destination.ended, 1);
      return (await source.qmp.execute('query-migrate'))['error-desc'] ?? '';
    };
    const another = (): Promise<Vmm> => bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true, args: ['--protocol', 'rfc'] });

    await bench.target.fault('fail', 'RESUMING EIO 1');
    assert.match(await failure(target), /Failed to write Device State Region: Input\/output error/);
    await bench.source.fault('fail', 'STOP_COPY EIO 1');
    assert.equal(await failure(await another()), 'vfio: Failed to stop device: Input/output error');
    await bench.source.fault('stream_fail', '100 EIO');
    assert.equal(await failure(await another()), 'vfio: Failed to read Device State Region: Input/output error');
    await bench.source.fault('stream_fail', 'off');
    await bench.source.fault('stream_cut', '100');
    assert.equal(await failure(await another()), 'vfio: Failed to read Device State Region: Input/output error');
    await bench.source.fault('stream_cut', 'off');
    // Another size of the region.
    const small = await another();
    await source.end();
    await bench.source.fault('state_size', '4096');
    const large = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], args: ['--protocol', 'rfc'] });
    await quickly(large);
    await large.qmp.execute('migrate', { uri: small.uri });
    await large.qmp.status(['failed']);
    assert.match((await large.qmp.execute('query-migrate'))['error-desc'] ?? '', /Failed to write Device State Region/);
  }));

  it('refuses a stream of another protocol', () => Bench.with(lab('rfc-v3'), async (bench) => {
    const { source, target } = await bench.pair(['--protocol', 'rfc-v3'], ['--protocol', 'rfc']);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.qmp.status(['failed']);
    assert.match((await source.qmp.execute('query-migrate'))['error-desc'] ?? '', /Migration protocol mismatch: rfc-v3 != rfc/);
    assert.equal(await running(source), 'running');
  }));

  it('moves a stopped machine, which was stopped before', () => Bench.with(lab('rfc-v2'), async (bench) => {
    const { source, target } = await bench.pair(['--protocol', 'rfc-v2'], ['--protocol', 'rfc-v2']);
    await quickly(source);
    await program(bench);
    await moreRounds(bench, SOURCE);
    await source.qmp.execute('stop');
    assert.equal(bench.source.migrationState, 'STOP_COPY');
    const last = await rounds(bench, SOURCE);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.migrated();
    await target.qmp.status(['completed']);
    assert.equal(await running(target), 'paused');
    assert.deepEqual(await cells(bench, target), new Set([last]));
  }));
});
