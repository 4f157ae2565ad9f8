/**
 * The three servers: started on a CPU, waited for, ended. A server is a process of its own on a directory of its own; whatever
 * happens, stop() ends the process and unmounts. Nothing in here touches a mount: a client with a time limit does.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pin } from './places.js';

export const UUID = '00000000-0000-4000-8000-000000000001';

export type Work = 'cycle' | 'write' | 'read' | 'ioctl' | 'wake' | 'stream';

export interface ServerKind {
  readonly name: string;
  readonly works: readonly Work[];
  command(dir: string): string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** ATTR DEVICE [IOMMU SLOTS STATE_SIZE] of the client. */
  clientArguments(dir: string): string[];
}

const ALL: readonly Work[] = ['cycle', 'write', 'read', 'ioctl', 'wake', 'stream'];

export function mdevsimCommand(root: string, dir: string, ...options: string[]): string[] {
  return [process.execPath, join(root, 'dist/src/main.js'), 'mount', dir, ...options];
}

export function serverKinds(root: string): { c: ServerKind; mdevsim: ServerKind; fuseNative: ServerKind | undefined } {
  const built = join(root, 'build/bench');
  const modules = join(built, 'fuse-native/node_modules');
  return {
    c: {
      name: 'C', works: ALL,
      command: (dir) => [join(built, 'server'), dir],
      clientArguments: (dir) => [join(dir, 'attr'), join(dir, 'device')],
    },
    mdevsim: {
      name: 'mdevsim', works: ALL,
      command: (dir) => mdevsimCommand(root, dir, '--mdev', `mtty-1,uuid=${UUID}`),
      clientArguments: (dir) => [
        join(dir, 'sys/devices/virtual/mtty/mtty', UUID, 'migration_block'), join(dir, 'dev/vfio/devices/vfio0'), join(dir, 'dev/iommu'),
        join(dir, '.slots'), join(dir, 'sys/kernel/debug/mdevsim', UUID, 'state_size'),
      ],
    },
    fuseNative: existsSync(join(built, 'fuse-native/ready')) ? {
      name: 'fuse-native', works: ['cycle', 'write', 'read'],
      command: (dir) => [process.execPath, join(root, 'scripts/bench.d/fuse-native-server.cjs'), join(modules, 'fuse-native'), dir],
      environment: { LD_LIBRARY_PATH: join(built, 'fuse-native/lib') },
      clientArguments: (dir) => [join(dir, 'attr'), 'none'],
    } : undefined,
  };
}

/** Longest time to wait for "ready", ms. */
const READY_LIMIT = 60_000;

export class Server {
  static readonly #running = new Set<Server>();
  static #closing = false;

  /** Ends all of them: the benchmark was interrupted. */
  static async stopAll(): Promise<void> {
    Server.#closing = true;
    await Promise.all([...Server.#running].map((server) => server.stop()));
  }

  readonly dir: string;
  readonly #process: ChildProcess;
  /** ms from start to "ready". */
  startTime = 0;
  readonly #ended: Promise<void>;

  private constructor(dir: string, command: readonly string[], cpu: string | undefined, environment: Readonly<Record<string, string>>) {
    this.dir = dir;
    const [program, args] = pin(cpu, command);
    this.#process = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
    Server.#running.add(this);
    this.#ended = new Promise((resolve) => this.#process.once('close', () => resolve()).once('error', () => resolve()));
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** `command` gets the new directory. */
  static async start(command: (dir: string) => string[], cpu?: string, environment: Readonly<Record<string, string>> = {}): Promise<Server> {
    if (Server.#closing) throw new Error('interrupted');
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-bench-'));
    const begin = performance.now();
    const server = new Server(dir, command(dir), cpu, environment);
    try {
      await server.#ready();
    } catch (error) {
      await server.stop();
      throw error;
    }
    server.startTime = performance.now() - begin;
    return server;
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Waits until its next line on stdout. */
  line(limit = READY_LIMIT): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer from ${this.#process.spawnargs.join(' ')}`)), limit);
      void this.#ended.then(() => reject(new Error(`${this.#process.spawnargs.join(' ')} ended`))).finally(() => clearTimeout(timer));
      this.#process.stdout?.once('data', (data: Buffer) => {
        clearTimeout(timer);
        resolve(data.toString());
      });
    });
  }

  async #ready(): Promise<void> {
    const line = await this.line();
    if (!line.startsWith('ready')) throw new Error(`not ready: ${line}`);
  }

  async stop(): Promise<void> {
    if (!Server.#running.delete(this)) return;
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 5000);
    await this.#ended;
    clearTimeout(timer);
    spawnSync('timeout', ['-s', 'KILL', '10', 'umount', '-l', this.dir], { stdio: 'ignore' });
    // A client that was at work when the server ended may have made a plain file there.
    if (!readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${this.dir} `)) rmSync(this.dir, { recursive: true, force: true });
  }
}
