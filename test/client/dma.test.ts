/** What a device writes into guest memory while it is migrated arrives in its last state, whoever keeps the log of it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { onTrace } from '../../src/index.js';
import type { Vmm } from '../../src/index.js';
import { Bench, quickly, SOURCE, TARGET } from './pair.js';
import { cells, goOn, moreRounds, program, rounds } from './rfc-pair.js';

const LOGS = ['DMA_LOGGING_REPORT', 'VFIO_IOMMU_DIRTY_PAGES', 'IOMMU_HWPT_GET_DIRTY_BITMAP'];
const TYPE = 'i915-GVTg_V5_8';
const RAM = 16 << 20;
/** Without the device's own log QEMU wants to be told outright that a group's device shall migrate. */
const NO_DEVICE_LOG = 'x-device-dirty-page-tracking=off,enable-migration=on';

async function memory(bench: Bench, vmm: Vmm): Promise<Buffer> {
  const filename = join(bench.scratch, 'all');
  await vmm.qmp.execute('pmemsave', { val: 0, size: RAM, filename });
  return readFileSync(filename);
}

describe('a migration of memory that a device writes', { timeout: 85_000 }, () => {
  for (const [log, call, properties] of [
    ["the device's log", 'DMA_LOGGING_REPORT', ''],
    ["the device's log, by iommufd", 'DMA_LOGGING_REPORT', ',iommufd=on'],
    ["a type1 container's log", 'VFIO_IOMMU_DIRTY_PAGES', `,${NO_DEVICE_LOG}`],
    ["an iommufd's log", 'IOMMU_HWPT_GET_DIRTY_BITMAP', `,iommufd=on,${NO_DEVICE_LOG}`],
  ] as const) {
    it(`moves its last state, by ${log}`, () => Bench.with({
      devices: [{ type: TYPE, uuid: SOURCE }, { type: TYPE, uuid: TARGET }], drivers: [{ name: 'gvt' }],
    }, async (bench) => {
      const calls = new Set<string>();
      const endTrace = onTrace(({ fields }) => calls.add(String(fields['command'])), ['vfio']);
      const args = ['--ram', `${RAM >> 20}M`];
      const [source, target] = await Promise.all([
        bench.vmm({ devices: [`${SOURCE},id=vf0${properties}`], args: [...args, '--break', 'vm_stop'] }),
        bench.vmm({ devices: [`${TARGET},id=vf0${properties}`], incoming: true, args: [...args, '--break', 'load_vm_start'] }),
      ]);
      await program(bench);
      await moreRounds(bench, SOURCE);
      await quickly(source);
      await source.qmp.execute('migrate', { uri: target.uri });
      // All memory has been sent, and the device goes on.
      await source.held('vm_stop');
      const sent = await rounds(bench, SOURCE);
      await moreRounds(bench, SOURCE, 5);
      await goOn(source);
      await target.held('load_vm_start');

      const last = await rounds(bench, SOURCE);
      assert.ok(last >= sent + 5);
      assert.deepEqual(await cells(bench, target), new Set([last]));
      assert.ok((await memory(bench, target)).equals(await memory(bench, source)), 'some of the rest differs');
      endTrace();
      assert.deepEqual(LOGS.filter((one) => [...calls].some((command) => command.includes(one))), [call]);

      await goOn(target);
      await source.migrated();
      // And goes on there, with the next number.
      await moreRounds(bench, TARGET);
      assert.ok(Math.min(...await cells(bench, target)) > last);
    }));
  }
});
