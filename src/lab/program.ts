/** One mdevsim command as a child process that prints a line when it can be used: for the library's Vmm and LabServer. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { lineOf } from './line-of.js';
import { ownCommand } from './own-command.js';

/** Characters of its output that are kept. */
const OUTPUT = 64 << 10;
/** ms until it must be ready, and until it must have ended. */
const START = 30_000;
const END = 10_000;

export class Program {
  readonly process: ChildProcess;
  readonly #stdout: Readable;
  /** Exit status; null where a signal ended it. */
  readonly ended: Promise<number | null>;
  readonly #name: string;
  #output = '';

  /** `args`: the command and its options. `command`: how to call mdevsim, default this very copy of it. It ends with this process. */
  constructor(args: readonly string[], command: readonly string[] = ownCommand()) {
    const [file = '', ...rest] = [...command, ...args, '--for', String(process.pid)];
    this.#name = `mdevsim ${args[0] ?? ''}`;
    const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    this.#stdout = child.stdout;
    const keep = (text: string): void => { this.#output = (this.#output + text).slice(-OUTPUT); };
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', keep);
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

  /**
   * The line on standard output by which it says that it can be used: the first that matches, for a user's driver may print others.
   * Rejects with what it said when it could not start.
   */
  ready(pattern: RegExp): Promise<string> {
    return new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${this.#name} was not ready after ${START} ms:\n${this.#output}`)), START);
      void lineOf(this.#stdout, pattern).then((line) => {
        if (line === undefined) return;
        clearTimeout(late);
        resolve(line);
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
