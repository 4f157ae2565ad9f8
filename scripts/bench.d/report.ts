/** The tables, in Markdown, with what is to be reached beside what was. */
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import type { Measured, Result } from './compare.js';
import type { Placement } from './places.js';
import type { ScaleRow } from './scale.js';
import type { Work } from './servers.js';
import type { VmmReport } from './vmm.js';

type Placed = Placement['name'];

const NAMES: Readonly<Record<Work, string>> = {
  cycle: 'echo cycle', write: 'one write', read: 'one read', ioctl: 'VFIO ioctl', wake: 'write to wake-up', stream: '1 MiB reads',
};

/** Largest p50 as a multiple of the C server's. */
const TARGETS: Readonly<Record<Placed, Readonly<Partial<Record<Work, number>>>>> = {
  apart: { cycle: 0.5, write: 0.4, ioctl: 0.7, wake: 0.6 },
  together: { cycle: 1.5, write: 1.3, ioctl: 1.8 },
  free: { cycle: 0.6 },
};
/** Smallest throughput, in every placement. */
const BANDWIDTH_TARGET = 1;

const TITLES: Readonly<Record<Placed, string>> = {
  apart: 'Client and server on different CPUs', together: 'Client and server on the same CPU', free: 'Not pinned',
};

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((text, column) => Math.max(...[text, ...rows.map((row) => row[column] ?? '')].map((cell) => cell.length)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

const verdict = (reached: boolean): string => (reached ? 'ok' : 'MISS');

/** Throughput counts the other way round: more is better. */
const ratioOf = (work: Work, ours: Result, theirs: Result): number => (work === 'stream' ? ours.mbps / theirs.mbps : ours.p50 / theirs.p50);

const cell = (work: Work, result: Result | undefined): string => {
  if (result === undefined) return '-';
  return work === 'stream' ? `${result.mbps.toFixed(0)} MB/s` : `${result.p50.toFixed(1)} / ${result.p99.toFixed(1)}`;
};

function judged(placed: Placed, work: Work, ratio: number): string {
  if (work === 'stream') return `>= ${BANDWIDTH_TARGET.toFixed(1)}x ${verdict(ratio >= BANDWIDTH_TARGET)}`;
  const target = TARGETS[placed][work];
  return target === undefined ? '' : `<= ${target}x ${verdict(ratio <= target)}`;
}

export function comparisonTables(measured: readonly Measured[]): string {
  const placed = [...new Set(measured.map(({ placement }) => placement.name))];
  return placed.map((name) => {
    const rows = measured.filter(({ placement }) => placement.name === name).map(({ work, results }) => {
      const [c, ours] = [results.get('C'), results.get('mdevsim')];
      const ratio = c === undefined || ours === undefined ? Number.NaN : ratioOf(work, ours, c);
      return [NAMES[work], cell(work, c), cell(work, ours), cell(work, results.get('fuse-native')), `${ratio.toFixed(2)}x`, judged(name, work, ratio)];
    });
    return `${TITLES[name]} (p50 / p99, us):\n\n${table(['work', 'C, libfuse 3', 'mdevsim', 'fuse-native', 'mdevsim : C', 'target'], rows)}`;
  }).join('\n\n');
}

export function scaleTable(rows: readonly ScaleRow[]): string {
  return table(['what', 'measured', 'target'], rows.map(({ what, value, target }) =>
    [what, value, target === undefined ? '' : `<= ${target.text} ${verdict(target.reached)}`]));
}

export function vmmTables({ rows, parts }: VmmReport, qemu: string | undefined): string {
  const migrations = table(['migration', 'mdevsim vmm', `QEMU ${qemu ?? '(none here)'}`, 'target of vmm'], rows.map(({ what, vmm, qemu: theirs, target }) =>
    [what, vmm, theirs, target === undefined ? '' : `${target.text} ${verdict(target.reached)}`]));
  return [migrations, table(['a part of the way of device state', 'by itself', 'of the bare stream'], parts)].join('\n\n');
}

/** Machine and versions, one line. */
export function machine(versions: { readonly libfuse: string }): string {
  const model = cpus()[0]?.model ?? 'unknown CPU';
  const virtual = /^flags.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')) ? ', virtual machine' : '';
  return `${cpus().length} x ${model}${virtual}; Linux ${release()}, Node ${process.versions.node}, libfuse ${versions.libfuse}`;
}
