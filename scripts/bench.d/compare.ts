/** The comparison: every work against every server, alternating, in each placement; medians over the rounds. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { pin } from './places.js';
import type { Placement } from './places.js';
import { Server } from './servers.js';
import type { ServerKind, Work } from './servers.js';

export interface Sizes {
  readonly rounds: number;
  /** Operations of one run. */
  readonly operations: number;
  /** MiB of one stream. */
  readonly streamMiB: number;
}

/** µs, or MB/s for the stream. */
export interface Result {
  readonly p50: number;
  readonly p99: number;
  readonly mbps: number;
}

export interface Measured {
  readonly placement: Placement;
  readonly work: Work;
  /** By the server's name; missing where a server can't do the work. */
  readonly results: ReadonlyMap<string, Result>;
}

/** Longest run of a client, ms. */
const CLIENT_LIMIT = 60_000;

/** One run of a program of the benchmark; its line of JSON. */
export async function runProgram(
  root: string, name: 'client' | 'state', cpu: string | undefined, args: readonly string[],
): Promise<Partial<Result>> {
  const [program, list] = pin(cpu, [join(root, 'build/bench', name), ...args]);
  const child = spawn(program, list, { stdio: ['ignore', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => output.push(data));
  child.stderr.on('data', (data: Buffer) => errors.push(data));
  const timer = setTimeout(() => child.kill('SIGKILL'), CLIENT_LIMIT);
  const code = await new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject));
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${name} ${args.slice(0, 2).join(' ')}: ${Buffer.concat(errors).toString().trim() || `ended with ${code}`}`);
  return JSON.parse(Buffer.concat(output).toString()) as Partial<Result>;
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

export async function comparePlacement(
  root: string, placement: Placement, kinds: readonly ServerKind[], sizes: Sizes, progress: (text: string) => void,
): Promise<Measured[]> {
  const servers: { kind: ServerKind; server: Server }[] = [];
  const works = kinds[0]?.works ?? [];
  const samples = new Map<string, Partial<Result>[]>();
  try {
    for (const kind of kinds) servers.push({ kind, server: await Server.start((dir) => kind.command(dir), placement.server, kind.environment) });
    for (let round = 0; round < sizes.rounds; round++) {
      progress(`${placement.name}: round ${round + 1} of ${sizes.rounds}`);
      for (const work of works) {
        // Who is first changes from round to round.
        const turn = round % servers.length;
        for (const { kind, server } of [...servers.slice(turn), ...servers.slice(0, turn)]) {
          if (!kind.works.includes(work)) continue;
          const count = work === 'stream' ? sizes.streamMiB : sizes.operations;
          const result = await runProgram(root, 'client', placement.client, [work, String(count), ...kind.clientArguments(server.dir)]);
          const key = `${kind.name} ${work}`;
          samples.set(key, [...samples.get(key) ?? [], result]);
        }
      }
    }
  } finally {
    for (const { server } of servers) await server.stop();
  }
  return works.map((work) => ({
    placement, work,
    results: new Map(kinds.filter((kind) => kind.works.includes(work)).map((kind) => {
      const all = samples.get(`${kind.name} ${work}`) ?? [];
      const middle = (field: keyof Result): number => median(all.map((result) => result[field] ?? Number.NaN));
      return [kind.name, { p50: middle('p50'), p99: middle('p99'), mbps: middle('mbps') }];
    })),
  }));
}
