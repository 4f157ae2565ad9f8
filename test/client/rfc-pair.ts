/** Two vGPUs that speak a version of the RFC, and what one of them writes into the guest's memory. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabOptions, Vmm } from '../../src/index.js';
import type { Bench } from './pair.js';
import { SOURCE, TARGET } from './pair.js';

export const VERSIONS = ['rfc', 'rfc-v2', 'rfc-v3'] as const;
export type Version = (typeof VERSIONS)[number];

export const lab = (protocol: Version, options: LabOptions = {}): LabOptions => ({
  devices: [{ type: 'i915-GVTg_V5_8', uuid: SOURCE }, { type: 'i915-GVTg_V5_8', uuid: TARGET }],
  drivers: [{ name: 'gvt', options: { protocol } }], ...options,
});

/** Where the first device writes, and how much. */
export const AT = 1 << 20;
export const LENGTH = 64 << 10;
/** ms between two rounds. */
const PAUSE = 2;

export const rounds = async (bench: Bench, uuid: string): Promise<number> =>
  Number(/^rounds (\d+)$/m.exec(await bench.device(uuid).readFault('dma'))?.[1]);

/** Waits for `count` more rounds. */
export async function moreRounds(bench: Bench, uuid: string, count = 2): Promise<void> {
  const wanted = await rounds(bench, uuid) + count;
  for (let n = 0; n < 2000 && await rounds(bench, uuid) < wanted; n++) await sleep(PAUSE);
  assert.ok(await rounds(bench, uuid) >= wanted, 'the device goes on writing');
}

/** Sequence numbers in the cells of the range that the device writes, in the VMM's memory. */
export async function cells(bench: Bench, vmm: Vmm, from = AT): Promise<Set<number>> {
  const filename = join(bench.scratch, 'memory');
  await vmm.qmp.execute('pmemsave', { val: from, size: LENGTH, filename });
  const memory = readFileSync(filename);
  const found = new Set<number>();
  for (let at = 0; at < LENGTH; at += 16) found.add(memory[at] === 0 ? 0 : Number(memory.readBigUInt64LE(at + 8)));
  return found;
}

export const program = (bench: Bench, uuid = SOURCE, from = AT): Promise<void> =>
  bench.device(uuid).fault('dma', `${from} ${LENGTH} ${PAUSE}`);
export const goOn = (vmm: Vmm): Promise<unknown> => vmm.qmp.execute('x-mdevsim-continue', {});
