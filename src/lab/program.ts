/** One mdevsim command as a child process that prints a line when it can be used: for the library's Vmm and LabServer. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { ownCommand } from './own-command.js';

/** Characters of its output that are kept. */
const OUTPUT = 64 << 10;
/** ms until it must be ready, and until it must have ended. */
const START = 30_000;
const END = 10_000;

export class Program {
  readonly process: ChildProcess;
  /** Exit status; null where a signal ended it. */
  readonly ended: Promise<number | null>;
  readonly #name: string;
  /** What it has said on standard output before it was ready. */
  #said = '';
  #output = '';

  /** `args`: the command and its options. `command`: how to call mdevsim, default this very copy of it. It ends with this process. */
  constructor(args: readonly string[], command: readonly string[] = ownCommand()) {
    const [file = '', ...rest] = [...command, ...args, '--for', String(process.pid)];
    this.#name = `mdevsim ${args[0] ?? ''}`;
    this.process = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (data: Buffer): void => { this.#output = (this.#output + data.toString()).slice(-OUTPUT); };
    this.process.stdout?.on('data', keep);
    this.process.stderr?.on('data', keep);
    this.ended = new Promise((resolve) => {
      this.process.once('error', (error) => {
        this.#output += String(error);
        resolve(null);
      });
      this.process.once('close', (status) => resolve(status));
    });
  }

  /** The last part of what it said. */
  get output(): string {
    return this.#output;
  }

  /** The line on standard output by which it says that it can be used. Rejects with what it said when it could not start. */
  async ready(): Promise<string> {
    return new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${this.#name} was not ready after ${START} ms:\n${this.#output}`)), START);
      this.process.stdout?.on('data', (data: Buffer) => {
        if (this.#said.includes('\n')) return;
        this.#said += data.toString();
        if (!this.#said.includes('\n')) return;
        clearTimeout(late);
        resolve(this.#said.split('\n')[0] ?? '');
      });
      void this.ended.then((status) => {
        clearTimeout(late);
        reject(new Error(`${this.#name} ended with ${status}: ${this.#output}`));
      });
    });
  }

  /** Waits until it has ended, for some seconds; then it is killed. */
  async end(): Promise<number | null> {
    const timer = setTimeout(() => this.process.kill('SIGKILL'), END);
    const status = await this.ended;
    clearTimeout(timer);
    return status;
  }

  /** At once. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}
