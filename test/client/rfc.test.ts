/** The RFC's protocols between two VMMs and two vGPUs, on a mounted lab. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VFIO_PCI_DEVICE_STATE_REGION_INDEX } from '../../src/abi/vfio-rfc.js';
import { onTrace } from '../../src/trace/trace.js';
import { regionOffset } from '../../src/vfio/pci-regions.js';
import { Bench, DEVICE, quickly, running, SOURCE, story, TARGET } from './pair.js';
import { AT, cells, lab, LENGTH, moreRounds, program, rounds, VERSIONS } from './rfc-pair.js';
import type { Version } from './rfc-pair.js';

const REGION = Number(regionOffset(VFIO_PCI_DEVICE_STATE_REGION_INDEX));

/** What was asked of the two devices and their containers that belongs to the protocol, in order, each kind of transfer once. */
async function conversation(run: () => Promise<void>): Promise<string[]> {
  const said: string[] = [];
  const end = onTrace(({ name, fields }) => {
    const who = String(fields['file']).endsWith(TARGET) ? 'target' : 'source';
    let what: string | undefined;
    if (name === 'vfio.ioctl') what = /VFIO_(DEVICE_PCI_(STATUS|GET_DIRTY)|IOMMU_GET_DIRTY)\w*( flags=\d)?/.exec(String(fields['command']))?.[0];
    else if (name === 'vfio.io' && Number(fields['offset']) >= REGION) {
      const part = fields['size'] === 1 && fields['offset'] === REGION ? 'byte 0' : 'image';
      what = `${String(fields['operation'])} ${part}`;
    }
    if (what !== undefined && said.at(-1) !== `${who}: ${what}`) said.push(`${who}: ${what}`);
  }, ['vfio']);
  await run();
  end();
  return said;
}

/** What the two do, by version; reads and writes of the image are as interleaved as they like. */
const SEQUENCES: Readonly<Record<Version, { readonly source: readonly string[]; readonly target: readonly string[] }>> = {
  'rfc': {
    source: [
      'VFIO_DEVICE_PCI_STATUS_SET flags=1', 'read image', 'VFIO_DEVICE_PCI_GET_DIRTY_BITMAP',
    ],
    target: ['write image', 'VFIO_DEVICE_PCI_STATUS_SET flags=2'],
  },
  'rfc-v2': { source: ['write byte 0', 'read image', 'VFIO_IOMMU_GET_DIRTY_BITMAP'], target: ['write image', 'write byte 0'] },
  'rfc-v3': { source: ['write byte 0', 'read image', 'VFIO_IOMMU_GET_DIRTY_BITMAP'], target: ['write image', 'write byte 0'] },
};

describe('migration by the RFC', { timeout: 85_000 }, () => {
  for (const version of VERSIONS) {
    it(`${version}: there and back, with the device's state and what it wrote`, () => Bench.with(lab(version), async (bench) => {
      const { source, target } = await bench.pair(['--protocol', version], ['--protocol', version, '-S']);
      await quickly(source);
      await program(bench);
      await moreRounds(bench, SOURCE);
      const said = await conversation(async () => {
        await source.qmp.execute('migrate', { uri: target.uri });
        const info = await source.migrated();
        assert.ok((info.vfio?.transferred ?? 0) > 16 << 20, 'the whole region');
        await target.qmp.status(['completed']);
        assert.equal(await running(target), 'paused');
        assert.deepEqual([bench.source.migrationState, bench.target.migrationState], ['STOP_COPY', 'RESUMING']);
        assert.deepEqual(await cells(bench, target), new Set([await rounds(bench, SOURCE)]));
        await target.qmp.execute('cont');
      });
      for (const who of ['source', 'target'] as const) {
        const own = said.filter((line) => line.startsWith(who)).map((line) => line.slice(who.length + 2));
        assert.deepEqual(own.filter((line, n) => line !== own[n - 1]), SEQUENCES[version][who]);
      }
      assert.deepEqual(story(source).filter((event) => event !== 'MIGRATION_PASS'), [
        'MIGRATION setup', 'MIGRATION active', 'STOP', 'MIGRATION device', 'MIGRATION completed',
      ]);
      const written = await rounds(bench, SOURCE);
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

  it('moves two devices of one container', () => {
    const more = { source: '33333333-3333-4333-8333-333333333333', target: '44444444-4444-4444-8444-444444444444' };
    const devices = [SOURCE, TARGET, more.source, more.target].map((uuid) => ({ type: 'i915-GVTg_V5_8', uuid }));
    return Bench.with(lab('rfc-v3', { devices }), async (bench) => {
      const args = ['--protocol', 'rfc-v3'];
      const source = await bench.vmm({ devices: [SOURCE, more.source], args });
      const target = await bench.vmm({ devices: [TARGET, more.target], incoming: true, args: [...args, '-S'] });
      await quickly(source);
      await program(bench);
      await program(bench, more.source, AT + LENGTH);
      for (const uuid of [SOURCE, more.source]) await moreRounds(bench, uuid);
      await source.qmp.execute('migrate', { uri: target.uri });
      await source.migrated();
      await target.qmp.status(['completed']);
      assert.deepEqual(await cells(bench, target), new Set([await rounds(bench, SOURCE)]));
      assert.deepEqual(await cells(bench, target, AT + LENGTH), new Set([await rounds(bench, more.source)]));
      await target.qmp.execute('cont');
      for (const uuid of [TARGET, more.target]) await moreRounds(bench, uuid);
    });
  });
});
