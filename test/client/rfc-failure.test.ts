/** What does not migrate by the RFC, and what becomes of a migration that fails. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Vmm } from '../../src/index.js';
import { Bench, DEVICE, quickly, running, SOURCE, TARGET } from './pair.js';
import { lab } from './rfc-pair.js';

describe('migration by the RFC that fails', { timeout: 85_000 }, () => {
  it('says why a device does not migrate: no region, nobody who tells dirty pages, switched off, another protocol', () => Bench.with(
    lab('rfc-v3'), async (bench) => {
      const protocols = ['rfc', 'rfc-v2', 'rfc-v3', 'v2'] as const;
      const [v1, v2017, v2018, v2] = await Promise.all(protocols.map((name) => bench.vmm({ args: ['--protocol', name] })));
      const sysfsdev = `/sys/bus/mdev/devices/${SOURCE}`;
      const reasons = async (vmm: Vmm | undefined, more: object = {}): Promise<unknown> => {
        assert.ok(vmm);
        await vmm.qmp.execute('device_add', { driver: 'vfio-pci', id: 'vf0', sysfsdev, ...more });
        const found = (await vmm.qmp.execute('query-migrate'))['blocked-reasons'];
        await vmm.qmp.execute('device_del', { id: 'vf0' });
        return found;
      };
      const lacking = 'Migration disabled: cannot support device state region';
      assert.deepEqual(await reasons(v2017), [lacking]);
      await assert.rejects(reasons(v2017, { 'enable-migration': 'on' }), { message: new RegExp(lacking) });
      // The first version goes by the index, where the others have it too: there is no way to tell.
      assert.equal(await reasons(v1), undefined);
      assert.equal(await reasons(v1, { iommufd: 'i0' }), undefined);
      assert.equal(await reasons(v2018), undefined);
      assert.deepEqual(await reasons(v2018, { 'enable-migration': 'off' }), [`${SOURCE}: Migration is disabled for VFIO device`]);
      assert.deepEqual(await reasons(v2018, { iommufd: 'i0' }),
        [`${SOURCE}: iommufd can't be asked for dirty pages as the RFC proposed`]);
      assert.deepEqual(await reasons(v2), [`${SOURCE}: VFIO migration is not supported in kernel`]);
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
    const another = (): Promise<Vmm> =>
      bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true, args: ['--protocol', 'rfc'] });

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

  it('leaves one machine when either end dies with the device already moved and the RAM not', () => Bench.with(lab('rfc-v3'),
    async (bench) => {
      const args = ['--protocol', 'rfc-v3'];
      const { source, target } = await bench.pair([...args, '--break', 'complete_ram'], args);
      await quickly(source);
      const reach = async (destination: Vmm): Promise<void> => {
        const after = source.qmp.events.length;
        await source.qmp.execute('migrate', { uri: destination.uri });
        await source.held('complete_ram', after);
        assert.equal(bench.target.migrationState, 'RESUMING');
      };
      await reach(target);
      await target.kill();
      await source.qmp.execute('x-mdevsim-continue', {});
      await source.qmp.event(({ event }) => event === 'RESUME');
      assert.deepEqual([await running(source), bench.source.migrationState], ['running', 'RUNNING']);
      assert.equal(bench.target.migrationState, 'RUNNING', 'of a device that nobody has');

      const second = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true, args });
      await reach(second);
      await source.kill();
      assert.equal(await second.ended, 1);
      assert.match(second.output, /load of migration failed: Input\/output error/);
      assert.ok(!second.qmp.events.some(({ event }) => event === 'RESUME'));
    }));
});
