/** Migration between two VMMs: `mdevsim vmm` beside stock QEMU, and device state beside the bare data stream. */
import { spawnSync } from 'node:child_process';
import { median, runClient } from './compare.js';
import { migrateOnce } from './machines.js';
import type { Migrated, Migration, VmmKind } from './machines.js';
import { Server, serverKinds } from './servers.js';

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
  state: MIB, options: ['--guest-load', `pages=${RAM / PAGE / (FILL / 1000)},bytes=0`], parameters: { 'downtime-limit': 10 }, settle: FILL * 1.2,
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

export async function migrations(root: string, sizes: VmmSizes, progress: (text: string) => void): Promise<VmmRow[]> {
  const repeat = async (what: string, kind: VmmKind, migration: Migration, rounds = sizes.rounds): Promise<Migrated[]> => {
    const all: Migrated[] = [];
    for (let n = 0; n < rounds; n++) {
      progress(`migration, ${what}, ${kind}: round ${n + 1} of ${rounds}`);
      all.push(await migrateOnce(root, kind, migration));
    }
    return all;
  };
  const withQemu = qemuVersion() !== undefined;
  const both = async (what: string, migration: Migration, rounds?: number): Promise<{ vmm: Migrated[]; qemu: Migrated[] }> => ({
    vmm: await repeat(what, 'vmm', migration, rounds), qemu: withQemu ? await repeat(what, 'qemu', migration, rounds) : [],
  });
  const few = Math.ceil(sizes.rounds / 2);
  const small = await both('1 MiB', { state: MIB });
  const busy = await repeat('a guest that writes', 'vmm', LOAD);
  const large = await both('large state', { state: sizes.stateMiB * MIB }, few);
  progress('data stream');
  const bare = await bareStream(root, sizes.stateMiB, few);
  return [
    ...times('64 MiB RAM, all zero, 1 MiB device', small.vmm, small.qemu),
    ...times('64 MiB RAM, all written, and being written at 32 MiB/s', busy, []),
    streamRow(sizes.stateMiB, large.vmm, large.qemu, bare),
    { what: `peak memory of a migration of ${sizes.stateMiB} MiB`, vmm: memory(large.vmm), qemu: memory(large.qemu) },
  ];
}

const milliseconds = (values: readonly number[]): string => (values.length === 0 ? '' : `${median(values).toFixed(0)} ms`);

function times(what: string, vmm: readonly Migrated[], qemu: readonly Migrated[]): VmmRow[] {
  const row = (name: string, limit: number, of: (one: Migrated) => number): VmmRow => {
    const value = median(vmm.map(of));
    return { what: `${what}: ${name}`, vmm: milliseconds([value]), qemu: milliseconds(qemu.map(of)), target: { text: `< ${limit} ms`, reached: value < limit } };
  };
  return [
    row('total', 400, ({ wall }) => wall),
    row('downtime', 20, ({ info }) => info.downtime ?? NaN),
  ];
}

function streamRow(mib: number, vmm: readonly Migrated[], qemu: readonly Migrated[], bare: number): VmmRow {
  const rate = median(vmm.map(throughput));
  const text = (value: number): string => `${value.toFixed(0)} MB/s (${(value / bare).toFixed(2)}x)`;
  return {
    what: `${mib} MiB of device state; the bare stream: ${bare.toFixed(0)} MB/s`, vmm: text(rate),
    qemu: qemu.length === 0 ? '' : text(median(qemu.map(throughput))), target: { text: '>= 0.7x', reached: rate >= 0.7 * bare },
  };
}

const memory = (all: readonly Migrated[]): string => (all.length === 0 ? '' : `${(median(all.map((one) => one.memory)) / MIB).toFixed(0)} MiB`);

/** The data stream alone, read by the C client, MB/s. */
async function bareStream(root: string, mib: number, rounds: number): Promise<number> {
  const { mdevsim } = serverKinds(root);
  const server = await Server.start((dir) => mdevsim.command(dir));
  try {
    const all: number[] = [];
    for (let n = 0; n < rounds; n++) all.push((await runClient(root, undefined, ['stream', String(mib), ...mdevsim.clientArguments(server.dir)])).mbps ?? NaN);
    return median(all);
  } finally {
    await server.stop();
  }
}
