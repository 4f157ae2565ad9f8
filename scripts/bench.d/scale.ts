/** One server by itself: start time, thousands of mdevs, memory, idle CPU. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { median } from './compare.js';
import { mdevsimCommand, Server } from './servers.js';

export interface ScaleRow {
  readonly what: string;
  readonly value: string;
  /** Undefined: nothing to reach. */
  readonly target?: { readonly text: string; readonly reached: boolean } | undefined;
}

/** Milliseconds from exec to the line "ready". */
export async function startTime(root: string, runs: number): Promise<ScaleRow> {
  const times: number[] = [];
  for (let n = 0; n < runs; n++) {
    const server = await Server.start((dir) => mdevsimCommand(root, dir, '--mdev', 'mtty-1'));
    times.push(server.startTime);
    await server.stop();
  }
  const time = median(times);
  return { what: 'start to ready', value: `${time.toFixed(0)} ms`, target: { text: '250 ms', reached: time <= 250 } };
}

/** CPU time that all threads of the process used so far, ms. /proc/PID/task/TID/schedstat: nanoseconds on a CPU come first. */
function cpuTime(pid: number): number {
  const nanoseconds = readdirSync(`/proc/${pid}/task`)
    .map((tid) => Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]));
  return nanoseconds.reduce((sum, value) => sum + value, 0) / 1e6;
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** `rest`: seconds until it has come to rest; V8 collects garbage once more when nothing happened for some 8 s. */
export async function idleCpu(root: string, seconds: number, rest: number): Promise<ScaleRow> {
  const server = await Server.start((dir) => mdevsimCommand(root, dir, '--mdev', 'mtty-1'));
  try {
    await wait(rest * 1000);
    const before = cpuTime(server.pid);
    await wait(seconds * 1000);
    const used = cpuTime(server.pid) - before;
    return { what: `CPU used in ${seconds} s of idling`, value: `${used.toFixed(1)} ms`, target: { text: '0 ms', reached: used < 0.05 } };
  } finally {
    await server.stop();
  }
}

interface Population {
  readonly population: number;
  /** µs */
  readonly create: number;
  readonly remove: number;
  /** µs for each entry. */
  readonly list: number;
  /** Bytes after garbage collection, when it was filled. */
  readonly heap: number;
  readonly rss: number;
}

/** Instances that one mtty parent holds. */
const PER_PARENT = 24;

/** Memory and times at each population. */
async function populations(root: string, counts: readonly number[]): Promise<Population[]> {
  const parents = Math.ceil((Math.max(...counts) + 1) / PER_PARENT);
  const server = await Server.start((dir) => {
    const [node = '', ...args] = mdevsimCommand(root, dir, '--driver', `mtty=${parents}`);
    return [node, '--expose-gc', '--import', join(root, 'scripts/bench.d/report-memory.mjs'), ...args];
  });
  const client = spawn(join(root, 'build/bench/mdevs'), [join(server.dir, 'sys'), 'mtty-1', ...counts.map(String)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const timer = setTimeout(() => client.kill('SIGKILL'), 300_000);
  const found: Population[] = [];
  let memory = { heap: 0, rss: 0 };
  try {
    for await (const line of createInterface({ input: client.stdout })) {
      const value = JSON.parse(line) as { filled?: number } & Omit<Population, 'heap' | 'rss'>;
      if (value.filled === undefined) {
        found.push({ ...value, ...memory });
        continue;
      }
      const answer = server.line();
      server.signal('SIGUSR2');
      memory = JSON.parse(await answer) as { heap: number; rss: number };
      client.stdin.write('\n');
    }
    if (found.length !== counts.length) throw new Error('mdevs did not come to its end');
    return found;
  } finally {
    clearTimeout(timer);
    client.kill('SIGKILL');
    await server.stop();
  }
}

/** Longest that an operation may take at many, as a multiple of that at few. */
const GROWTH = 1.2;
/** Bytes for each mdev. */
const MEMORY = 6144;

export async function manyMdevs(root: string, few: number, many: number): Promise<ScaleRow[]> {
  const [small, large] = await populations(root, [few, many]);
  if (small === undefined || large === undefined) throw new Error('two populations are needed');
  const growth = (what: string, field: 'create' | 'remove' | 'list', unit: string): ScaleRow => {
    const ratio = large[field] / small[field];
    return {
      what: `${what} at ${many} mdevs, at ${few}`,
      value: `${large[field].toFixed(1)}, ${small[field].toFixed(1)} ${unit}: ${ratio.toFixed(2)}x`,
      target: { text: `${GROWTH}x`, reached: ratio <= GROWTH },
    };
  };
  const each = (field: 'heap' | 'rss'): number => (large[field] - small[field]) / (many - few);
  return [
    growth('create', 'create', 'us'),
    growth('remove', 'remove', 'us'),
    growth('list', 'list', 'us an entry'),
    {
      what: 'memory for each mdev', value: `${each('heap').toFixed(0)} bytes (resident set: ${each('rss').toFixed(0)})`,
      target: { text: `${MEMORY} bytes`, reached: each('heap') <= MEMORY },
    },
  ];
}
