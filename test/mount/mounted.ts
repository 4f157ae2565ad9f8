/**
 * Real mounts for tests. The tree is served by the test process; whatever touches it is a child process with a time limit, never
 * a synchronous call from here.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mountTree } from '../../mount/mount.js';
import type { Mount, MountOptions } from '../../mount/mount.js';
import type { Tree } from '../../src/kernfs/tree.js';
import { umount } from '../../src/sys/mount.js';

/** The reason why real mounts cannot be tested here, or false. For test()'s `skip`. */
export const noMounts: string | false = (() => {
  if (process.getuid?.() !== 0) return 'needs root to mount';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return 'needs /dev/fuse';
  }
})();

export interface Result {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A client that runs; it is killed after `timeout` ms. */
export class Client {
  readonly process: ChildProcess;
  readonly done: Promise<Result>;
  stdout = '';
  stderr = '';
  readonly #waiting: (() => void)[] = [];

  constructor(command: string, args: readonly string[], timeout = 20_000) {
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const killer = setTimeout(() => this.process.kill('SIGKILL'), timeout);
    this.process.stdout?.on('data', (data: Buffer) => {
      this.stdout += data.toString();
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.process.stderr?.on('data', (data: Buffer) => { this.stderr += data.toString(); });
    this.done = new Promise((resolve, reject) => {
      this.process.on('error', reject);
      this.process.on('close', (code, signal) => {
        clearTimeout(killer);
        for (const wake of this.#waiting.splice(0)) wake();
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** Until the output contains the text; throws when the client ends without it. */
  async says(text: string): Promise<void> {
    while (!this.stdout.includes(text)) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) {
        throw new Error(`the client ended without saying ${text}: ${this.stdout}${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  write(text: string): void {
    this.process.stdin?.write(text);
  }
}

export const sh = (script: string, timeout?: number): Promise<Result> => new Client('sh', ['-c', script], timeout).done;

/** A TypeScript client from this directory. */
export function tsClient(name: string, args: readonly string[], timeout?: number): Client {
  return new Client(process.execPath, ['--import', 'tsx', join(import.meta.dirname, name), ...args], timeout);
}

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'mdevsim-test-'));
}

/** Mounts the tree at a new directory for the length of `run`; leaves nothing behind. */
export async function withMount(tree: Tree, run: (mount: Mount) => Promise<void>, options: MountOptions = {}): Promise<void> {
  const dir = temporaryDirectory();
  const mount = await mountTree(tree, dir, options);
  try {
    await run(mount);
  } finally {
    await mount.unmount();
    removeMountPoint(dir);
  }
}

export function removeMountPoint(dir: string): void {
  try {
    umount(dir);
  } catch {
    // Not mounted any more, which is as it should be.
  }
  rmdirSync(dir);
}

/** Open descriptors of this process. */
export const fdCount = (): number => readdirSync('/proc/self/fd').length;
