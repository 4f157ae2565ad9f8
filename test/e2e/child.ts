/** Child processes of a test: each has its output kept for messages, and none outlives the test. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { within } from './deadline.js';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const OUTPUT_MAX = 64 * 1024;

export class Child {
  readonly process: ChildProcess;
  readonly name: string;
  /** Settles when it has ended: exit status, or 128 + signal as a shell says it. */
  readonly ended: Promise<number | null>;
  #output = '';
  #stdout = '';
  #exited = false;

  constructor(name: string, argv: readonly string[]) {
    const [command = '', ...args] = argv;
    this.name = name;
    this.process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: ROOT });
    this.process.stdout?.on('data', (data: Buffer) => this.#keep(data, true));
    this.process.stderr?.on('data', (data: Buffer) => this.#keep(data, false));
    this.ended = new Promise((resolve) => {
      this.process.once('error', (error) => {
        this.#output += String(error);
        this.#exited = true;
        resolve(null);
      });
      this.process.once('exit', (code) => {
        this.#exited = true;
        resolve(code);
      });
    });
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.name} did not start: ${this.#output}`);
    return this.process.pid;
  }
  get running(): boolean {
    return !this.#exited;
  }
  /** The last part of what it wrote. */
  get output(): string {
    return this.#output;
  }

  /** A line on standard output that matches; rejects when the process ends first. */
  async line(seconds: number, pattern: RegExp): Promise<string> {
    const found = new Promise<string>((resolve, reject) => {
      const look = (): void => {
        const line = this.#stdout.split('\n').find((text) => pattern.test(text));
        if (line === undefined) return;
        this.process.stdout?.off('data', look);
        resolve(line);
      };
      this.process.stdout?.on('data', look);
      look();
      void this.ended.then((code) => reject(new Error(`${this.name} ended (${code}) before ${pattern}:\n${this.#output}`)));
    });
    return within(seconds, `${this.name} to print ${pattern}`, found, () => this.#output);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM', seconds = 10): Promise<number | null> {
    if (this.running) this.process.kill(signal);
    try {
      return await within(seconds, `${this.name} to end after ${signal}`, this.ended, () => this.#output);
    } catch (error) {
      this.process.kill('SIGKILL');
      throw error;
    }
  }

  /** At once, without waiting for anything in order. */
  kill(): void {
    if (this.running) this.process.kill('SIGKILL');
  }

  #keep(data: Buffer, stdout: boolean): void {
    const text = data.toString();
    if (stdout) this.#stdout = (this.#stdout + text).slice(-OUTPUT_MAX);
    this.#output = (this.#output + text).slice(-OUTPUT_MAX);
  }
}

export interface ShellResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A real shell; killed after 10 s. Never against a mount that this process serves. */
export function sh(script: string, shell = 'sh'): ShellResult {
  const options = { timeout: 10_000, killSignal: 'SIGKILL', encoding: 'utf8' } as const;
  const { status, stdout, stderr, error } = spawnSync(shell, ['-c', script], options);
  if (error !== undefined) throw new Error(`${shell} -c '${script}': ${error.message}`);
  return { status, stdout, stderr };
}
