/** Programs below `mdevsim run`, started from the library: child processes of this process, which may be the one that serves the lab. */
import { spawn } from 'node:child_process';
import type { ChildProcess, SpawnOptions as NodeSpawnOptions } from 'node:child_process';
import { buffer } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { ownCommand } from './own-command.js';

export interface SpawnOptions extends Pick<NodeSpawnOptions, 'cwd' | 'env' | 'stdio' | 'signal' | 'killSignal' | 'timeout' | 'detached'> {
  /** As the option --slots of `mdevsim run`. */
  readonly slots?: number;
}

export interface RunOptions extends Omit<SpawnOptions, 'stdio' | 'detached'> {
  /** For its standard input; default: nothing. */
  readonly input?: string | Uint8Array;
}

export interface RunResult {
  /** Exit status; null where a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function spawnIn(dir: string, argv: readonly string[], { slots, ...options }: SpawnOptions): ChildProcess {
  if (argv.length === 0) throw new RangeError('there is no program to run');
  const [file = '', ...args] = [
    ...ownCommand(), 'run', '--lab', dir, ...(slots === undefined ? [] : ['--slots', String(slots)]), '--', ...argv,
  ];
  return spawn(file, args, options);
}

export async function runIn(dir: string, argv: readonly string[], { input, ...options }: RunOptions): Promise<RunResult> {
  const child = spawnIn(dir, argv, { ...options, stdio: 'pipe' });
  const ended = new Promise<Pick<RunResult, 'status' | 'signal'>>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal }));
  });
  // A program that does not read all of it is no error.
  child.stdin?.on('error', () => undefined).end(input ?? '');
  const [end, stdout, stderr] = await Promise.all([ended, textOf(child.stdout), textOf(child.stderr)]);
  return { ...end, stdout, stderr };
}

async function textOf(stream: Readable | null): Promise<string> {
  return stream === null ? '' : (await buffer(stream)).toString();
}
