/** scripts/bench, after it has built everything. Options: --quick, --append, --only=compare|scale|vmm. */
import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { comparePlacement } from './compare.js';
import type { Measured, Sizes } from './compare.js';
import { placements } from './places.js';
import { killMachines } from './machines.js';
import { comparisonTables, machine, scaleTable, vmmTables } from './report.js';
import { idleCpu, manyMdevs, startTime } from './scale.js';
import type { ScaleRow } from './scale.js';
import { Server, serverKinds } from './servers.js';
import { migrations, qemuVersion } from './vmm.js';
import type { VmmReport } from './vmm.js';

const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');
const quick = process.argv.includes('--quick');
const append = process.argv.includes('--append');
const wanted = (part: string): boolean => !process.argv.some((word) => word.startsWith('--only=')) || process.argv.includes(`--only=${part}`);

const SIZES: Sizes = quick ? { rounds: 1, operations: 200, streamMiB: 50 } : { rounds: 7, operations: 4000, streamMiB: 1000 };
const [FEW, MANY] = quick ? [10, 200] : [10, 10_000];

/** One line at a time, overwritten where stderr is a terminal. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

async function compare(): Promise<Measured[]> {
  const { c, mdevsim, fuseNative } = serverKinds(root);
  const kinds = [c, mdevsim, ...(fuseNative === undefined ? [] : [fuseNative])];
  const measured: Measured[] = [];
  for (const placement of placements()) measured.push(...await comparePlacement(root, placement, kinds, SIZES, progress));
  progress('');
  return measured;
}

async function scale(): Promise<ScaleRow[]> {
  progress('start time');
  const rows = [await startTime(root, quick ? 1 : 9)];
  progress('idle');
  rows.push(await (quick ? idleCpu(root, 1, 2) : idleCpu(root, 20, 15)));
  progress(`${MANY} mdevs`);
  rows.push(...await manyMdevs(root, FEW, MANY));
  progress('');
  return rows;
}

async function vmm(): Promise<VmmReport> {
  const report = await migrations(root, quick ? { rounds: 1, stateMiB: 64 } : { rounds: 7, stateMiB: 1024 }, progress);
  progress('');
  return report;
}

async function main(): Promise<void> {
  const parts: string[] = [];
  if (wanted('compare')) parts.push(comparisonTables(await compare()));
  if (wanted('scale')) parts.push(scaleTable(await scale()));
  if (wanted('vmm')) parts.push(vmmTables(await vmm(), qemuVersion()));
  const libfuse = execFileSync('pkg-config', ['--modversion', 'fuse3'], { encoding: 'utf8' }).trim();
  const text = [`${machine({ libfuse })}.`, ...parts].join('\n\n');
  console.log(text);
  if (!append) return;
  const date = new Date().toISOString().slice(0, 10);
  appendFileSync(join(root, 'docs/benchmarks.md'), `\n### ${date}${quick ? ' (--quick: too short to compare)' : ''}\n\n${text}\n`);
  console.log('\nappended to docs/benchmarks.md');
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killMachines();
    void Server.stopAll().finally(() => process.exit(1));
  });
}
try {
  await main();
} catch (error) {
  progress('');
  console.error(`scripts/bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
