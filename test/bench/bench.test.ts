/** scripts/bench --quick: everything builds, all three placements and all works run, the tables are printed, nothing is left. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { comparisonTables, scaleTable, vmmTables } from '../../scripts/bench.d/report.js';
import type { Measured } from '../../scripts/bench.d/compare.js';
import { PARTS } from '../../scripts/bench.d/parts.js';
import { allowedCpus, placements } from '../../scripts/bench.d/places.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const missing = ((): string | false => {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync('/dev/fuse')) return 'needs /dev/fuse';
  if (spawnSync('pkg-config', ['--exists', 'fuse3']).status !== 0 && spawnSync('sh', ['-c', 'command -v apt-get']).status !== 0) return 'needs libfuse 3';
  return false;
})();

test('scripts/bench --quick prints all tables and leaves nothing behind', { skip: missing }, () => {
  // A directory for temporary files of its own: others may run benchmarks at the same time.
  const dir = mkdtempSync(join(tmpdir(), 'mdevsim-test-bench-'));
  try {
    runQuick(dir);
  } finally {
    for (const mount of mountsBelow(dir)) spawnSync('timeout', ['-s', 'KILL', '10', 'umount', '-l', mount]);
    if (mountsBelow(dir).length === 0) rmSync(dir, { recursive: true });
  }
});

const mountsBelow = (dir: string): string[] => readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  .map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(`${dir}/`));

function runQuick(dir: string): void {
  const out = execFileSync(`${ROOT}scripts/bench`, ['--quick'], {
    encoding: 'utf8', timeout: 170_000, killSignal: 'SIGKILL', env: { ...process.env, TMPDIR: dir },
  });
  const titles = { apart: 'on different CPUs', together: 'on the same CPU', free: 'Not pinned' };
  for (const { name } of placements()) assert.match(out, new RegExp(titles[name]));
  const rounds = placements(allowedCpus()).length;
  for (const work of ['echo cycle', 'one write', 'one read', 'VFIO ioctl', 'write to wake-up', '1 MiB reads']) {
    assert.equal(out.split(`| ${work} `).length - 1, rounds, work);
  }
  for (const row of ['start to ready', 'CPU used', 'create at', 'list at', 'memory for each mdev', '64 MiB RAM', '64 MiB of device state', 'peak memory', ...Object.values(PARTS)]) assert.ok(out.includes(`| ${row}`), row);
  assert.doesNotMatch(out, /NaN|Infinity/);
  assert.deepEqual([...mountsBelow(dir), ...readdirSync(dir).filter((name) => name.startsWith('mdevsim-bench-'))], []);
}

const measured = (name: 'apart' | 'together' | 'free', c: number, ours: number): Measured[] => [{
  placement: { name, client: undefined, server: undefined }, work: 'cycle',
  results: new Map([['C', { p50: c, p99: c, mbps: 0 }], ['mdevsim', { p50: ours, p99: ours, mbps: 0 }]]),
}];

test('the tables say whether a target was reached', () => {
  assert.match(comparisonTables(measured('apart', 100, 50)), /0\.50x.*<= 0\.5x ok/);
  assert.match(comparisonTables(measured('apart', 100, 51)), /0\.51x.*<= 0\.5x MISS/);
  assert.match(comparisonTables(measured('together', 100, 149)), /1\.49x.*<= 1\.5x ok/);
  assert.match(scaleTable([{ what: 'w', value: 'v', target: { text: '1 ms', reached: false } }]), /\| w +\| v +\| <= 1 ms MISS \|/);
});

test('the tables of migrations name QEMU, or do without, and show the parts', () => {
  const report = {
    rows: [{ what: 'w', vmm: '1 ms', qemu: '', target: { text: '< 2 ms', reached: true } }], parts: [['p', '5 MB/s', '0.50x']],
  } as const;
  assert.match(vmmTables(report, '10.0.2'), /\| QEMU 10\.0\.2 \|[^]*\| w +\| 1 ms +\| +\| < 2 ms ok +\|/);
  assert.match(vmmTables(report, undefined), /QEMU \(none here\)[^]*\| p +\| 5 MB\/s +\| 0\.50x +\|/);
});

test('throughput is judged the other way round', () => {
  const stream = (ours: number): string => comparisonTables([{
    placement: { name: 'free', client: undefined, server: undefined }, work: 'stream',
    results: new Map([['C', { p50: 0, p99: 0, mbps: 1000 }], ['mdevsim', { p50: 0, p99: 0, mbps: ours }]]),
  }]);
  assert.match(stream(999), /MISS/);
  assert.match(stream(1000), /ok/);
});
