/** RootShell: a program with a pipe to its input, whose output lines are waited for; the demo's `bash` runs in one. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { within } from '../../test/e2e/deadline.js';

const LIMIT = 20;

export class RootShell {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  #lines: string[] = [];
  #rest = '';
  #wake: () => void = () => undefined;
  #gone = false;
  #count = 0;

  constructor(argv: readonly string[]) {
    this.child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (data: string) => {
        const parts = (this.#rest + data).split('\n');
        this.#rest = parts.pop() ?? '';
        this.#lines.push(...parts);
        this.#wake();
      });
    }
    this.ended = new Promise((resolve) => this.child.once('close', () => {
      this.#gone = true;
      this.#wake();
      resolve();
    }));
  }

  write(text: string): void {
    this.child.stdin?.write(text);
  }

  /** The next line that matches; lines before it are dropped. */
  async line(pattern: RegExp): Promise<string> {
    const find = async (): Promise<string> => {
      for (;;) {
        const at = this.#lines.findIndex((line) => pattern.test(line));
        if (at >= 0) return this.#lines.splice(0, at + 1).at(-1) ?? '';
        if (this.#gone) throw new Error(`the program ended: ${[...this.#lines, this.#rest].join('\n')}`);
        await new Promise<void>((resolve) => { this.#wake = resolve; });
      }
    };
    return within(LIMIT, `a line like ${pattern}`, find(), () => this.#lines.join('\n'));
  }

  /** Runs one command line in the shell. Both output streams of the command go to `stderr` here. */
  async run(command: string): Promise<{ status: number; stderr: string }> {
    const mark = `mark${++this.#count}`;
    this.#lines = [];
    this.write(`{ ${command}; } 2>&1; echo "${mark} $?"\n`);
    const output: string[] = [];
    for (;;) {
      const line = await this.line(/^/);
      if (line.startsWith(mark)) return { status: Number(line.slice(mark.length)), stderr: output.join('\n') };
      output.push(line);
    }
  }
}
