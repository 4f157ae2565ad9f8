/** Migration between two VMMs: `mdevsim vmm` beside stock QEMU, and device state beside the bare data stream. */
import { spawnSync } from 'node:child_process';
import { median } from './compare.js';
import { migrateOnce } from './machines.js';
import type { Migrated, Migration } from './machines.js';
import { measureParts, PARTS } from './parts.js';
import type { Part } from './parts.js';

export interface VmmRow {
  readonly what: string;
  readonly vmm: string;
  /** Stock QEMU's; empty where it was not measured. */
  readonly qemu: string;
  readonly target?: { readonly text: string; readonly reached: boolean } | undefined;
}

const MIB = 1 << 20;
const RAM = 64 * MIB;
/** Page size. */
const PAGE = 4096;
/** The guest that writes fills its RAM in so many ms, and goes on at that rate. */
const FILL = 2000;
const LOAD: Migration = {
  state: MIB, options: ['--guest-load', `pages=${RAM / PAGE / (FILL / 1000)},bytes=0`], settle: FILL * 1.2,
  // Said, not measured: RAM that is sent as fast as the guest writes it would be taken for all that the connection can do.
  parameters: { 'downtime-limit': 10, 'avail-switchover-bandwidth': 500e6 },
};

/** Undefined: the version is not known, or too old for VFIO migration. */
export function qemuVersion(): string | undefined {
  const { stdout } = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' });
  const match = /version (\d+)\.(\d+)(\.\d+)?/.exec(String(stdout));
  if (match === null || Number(match[1]) * 100 + Number(match[2]) < 801) return undefined;
  return `${match[1]}.${match[2]}${match[3] ?? ''}`;
}

/** Device bytes of the whole migration, MB/s. */
const throughput = ({ info }: Migrated): number => (info.vfio?.transferred ?? 0) / 1e6 / ((info['total-time'] ?? NaN) / 1e3);

export interface VmmSizes {
  readonly rounds: number;
  /** MiB of the large device state. */
  readonly stateMiB: number;
}

export interface VmmReport {
  readonly rows: readonly VmmRow[];
  /** What, MB/s, as a multiple of the bare stream. */
  readonly parts: readonly (readonly [string, string, string])[];
}

interface Rounds {
  readonly vmm: Migrated[];
  readonly qemu: Migrated[];
  readonly parts: Record<Part, number>[];
}

export async function migrations(root: string, sizes: VmmSizes, progress: (text: string) => void): Promise<VmmReport> {
  const withQemu = qemuVersion() !== undefined;
  /** All kinds in each round, so that what the machine does meanwhile is everybody's. */
  const alternate = async (what: string, migration: Migration, also: { readonly qemu?: boolean; readonly parts?: number }): Promise<Rounds> => {
    const all: Rounds = { vmm: [], qemu: [], parts: [] };
    for (let n = 0; n < sizes.rounds; n++) {
      progress(`migration, ${what}: round ${n + 1} of ${sizes.rounds}`);
      all.vmm.push(await migrateOnce(root, 'vmm', migration));
      if (also.parts !== undefined) all.parts.push(await measureParts(root, also.parts));
      if (also.qemu === true && withQemu) all.qemu.push(await migrateOnce(root, 'qemu', migration));
    }
    return all;
  };
  const small = await alternate('1 MiB', { state: MIB }, { qemu: true });
  const busy = await alternate('a guest that writes', LOAD, {});
  const large = await alternate('large state', { state: sizes.stateMiB * MIB }, { qemu: true, parts: sizes.stateMiB });
  const part = (name: Part): number => median(large.parts.map((round) => round[name]));
  const bare = part('read');
  return {
    rows: [
      ...times('64 MiB RAM, all zero, 1 MiB device', small),
      ...times('64 MiB RAM, all written, and being written at 32 MiB/s', busy),
      streamRow(sizes.stateMiB, large, bare),
      { what: `peak memory of a migration of ${sizes.stateMiB} MiB`, vmm: memory(large.vmm), qemu: memory(large.qemu) },
    ],
    parts: (Object.entries(PARTS) as [Part, string][]).map(([name, what]) => [what, `${part(name).toFixed(0)} MB/s`, multiple(part(name), bare)]),
  };
}

const milliseconds = (values: readonly number[]): string => (values.length === 0 ? '' : `${median(values).toFixed(0)} ms`);

function times(what: string, { vmm, qemu }: Rounds): VmmRow[] {
  const row = (name: string, limit: number, of: (one: Migrated) => number): VmmRow => {
    const value = median(vmm.map(of));
    return { what: `${what}: ${name}`, vmm: milliseconds([value]), qemu: milliseconds(qemu.map(of)), target: { text: `< ${limit} ms`, reached: value < limit } };
  };
  return [
    row('total', 400, ({ wall }) => wall),
    row('downtime', 20, ({ info }) => info.downtime ?? NaN),
  ];
}

const multiple = (rate: number, bare: number): string => `${(rate / bare).toFixed(2)}x`;

function streamRow(mib: number, { vmm, qemu }: Rounds, bare: number): VmmRow {
  const text = (all: readonly Migrated[]): string => {
    const rate = median(all.map(throughput));
    return all.length === 0 ? '' : `${rate.toFixed(0)} MB/s (${multiple(rate, bare)})`;
  };
  return {
    what: `${mib} MiB of device state, as a multiple of the bare stream`, vmm: text(vmm), qemu: text(qemu),
    target: { text: '>= 0.7x', reached: median(vmm.map(throughput)) >= 0.7 * bare },
  };
}

const memory = (all: readonly Migrated[]): string => (all.length === 0 ? '' : `${(median(all.map((one) => one.memory)) / MIB).toFixed(0)} MiB`);
