/** Calling the program as a user does: the built one when scripts/test has built it, else from the sources. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess, SpawnSyncReturns } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
export const MDEVSIM: readonly string[] = process.env['MDEVSIM_TEST_BUILT'] === '1'
  ? [process.execPath, join(ROOT, 'dist/src/main.js')]
  : [process.execPath, '--import', import.meta.resolve('tsx'), join(ROOT, 'src/main.ts')];

/** ms */
const LIMIT = 30_000;

export const asRoot = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

export interface Result {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly stdio?: ('pipe' | number)[];
}

function result({ status, signal, stdout, stderr, error }: SpawnSyncReturns<string>): Result {
  if (error !== undefined) throw error;
  return { status, signal, stdout, stderr };
}

/** Runs to its end; killed after LIMIT. Never against a lab of this process. */
export function mdevsim(args: readonly string[], options: RunOptions = {}): Result {
  const [file = '', ...rest] = [...MDEVSIM, ...args];
  return result(spawnSync(file, rest, { encoding: 'utf8', timeout: LIMIT, killSignal: 'SIGKILL', ...options }));
}

export function shell(script: string, program: readonly string[] = ['sh'], args: readonly string[] = []): Result {
  const [file = '', ...rest] = program;
  const argv = [...rest, '-c', script, 'sh', ...args];
  return result(spawnSync(file, argv, { encoding: 'utf8', timeout: LIMIT, killSignal: 'SIGKILL' }));
}

/** A server in the background, with the directory that it is mounted on. */
export class Server {
  readonly dir: string;
  readonly process: ChildProcess;
  readonly ended: Promise<{ status: number | null; signal: string | null }>;
  stdout = '';
  stderr = '';

  private constructor(args: readonly string[], dir?: string) {
    this.dir = dir ?? mkdtempSync(join(tmpdir(), 'mdevsim-cli-'));
    const [file = '', ...rest] = [...MDEVSIM, 'mount', this.dir, ...args];
    this.process = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => { this.stdout += text; });
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => { this.stderr += text; });
    this.ended = new Promise((resolve) => this.process.once('close', (status, signal) => resolve({ status, signal })));
  }

  static async start(args: readonly string[] = [], dir?: string): Promise<Server> {
    const server = new Server(args, dir);
    await new Promise<void>((resolve, reject) => {
      server.process.stdout?.on('data', () => { if (server.stdout.includes('\n')) resolve(); });
      void server.ended.then(() => reject(new Error(`the server ended: ${server.stderr}`)));
    });
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    await this.ended;
    shell('umount -l "$1" 2>/dev/null; rmdir "$1" 2>/dev/null', ['sh'], [this.dir]);
    try { rmdirSync(this.dir); } catch { /* Gone. */ }
  }
}

/** A driver that prints when it is loaded and when its attribute `value` is read. */
export const LOUD_DRIVER = `import { defineDriver } from 'mdevsim'; console.log('loaded'); export default defineDriver({
  name: 'loud', types: [{ name: 'loud-1' }], create: () => ({ attributes: { value: { show() { console.log('shown'); return 1; } } } }) });`;

/** Waits for something that no event tells, 10 s at most. */
export async function eventually(what: string, check: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited too long for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const isMounted = (dir: string): boolean =>
  shell('grep -q " $1 fuse.mdevsim" /proc/self/mounts', ['sh'], [dir]).status === 0;
