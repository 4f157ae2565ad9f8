/** A shell that is given a document's commands as somebody types them: the next one when the output of the last is there. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { ConsoleBlock, Step } from './document.js';

/** ms that a block may take. */
const LIMIT = 100_000;
const STEP = 10;

/** Which line of its input bash names depends on how it is run; versions of mdevctl differ in empty lines. */
const plain = (text: string): string => text.replaceAll(/^(.*?bash): line \d+: /gm, '$1: ').replaceAll(/^\n/gm, '');

/** What a document says, as a pattern: `...` for lines, any times at their beginning. */
function patternOf(output: string): string {
  return plain(output).split('\n').map((line) => (line === '...' || line.trim() === '...' ? '(?:.*\\n)*?' : `${lineOf(line)}\n`)).join('').replace(/\n$/, '');
}

const lineOf = (line: string): string =>
  line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/^ +\d+\\\.\d{3}(?= )/, ' *\\d+\\.\\d{3}');

export class Terminal {
  readonly #steps: readonly Step[];
  readonly #shell: ChildProcess;
  readonly #closed: Promise<void>;
  readonly #shown: (text: string) => string;
  #said = '';
  #over = false;

  /** `shown` makes what was printed comparable. */
  constructor({ steps }: ConsoleBlock, cwd: string, env: NodeJS.ProcessEnv, shown: (text: string) => string) {
    this.#steps = steps;
    this.#shown = shown;
    this.#shell = spawn('/bin/bash', ['--norc', '-c', 'exec -a bash /bin/bash --norc 2>&1'], { cwd, env, detached: true });
    this.#shell.stdout?.setEncoding('utf8').on('data', (text: string) => { this.#said += text; });
    this.#shell.stdin?.on('error', () => undefined);
    this.#closed = new Promise((resolve) => this.#shell.once('close', () => {
      this.#over = true;
      resolve();
    }));
  }

  /** Types everything; resolves when all output is there, but for the last command only its first line. */
  async begin(): Promise<void> {
    let expected = '';
    for (const [index, { command, output }] of this.#steps.entries()) {
      this.#shell.stdin?.write(`${command}\n`);
      expected += index === this.#steps.length - 1 ? output.split('\n', 1).join('') : output;
      if (output !== '') await this.#until(new RegExp(`^${patternOf(expected)}`), command);
    }
  }

  /** The rest of the output. */
  async complete(): Promise<void> {
    await this.#until(new RegExp(`^${this.#pattern}`), this.#steps.at(-1)?.command ?? '');
  }

  /** Types everything and the end of input; asserts that nothing else was printed. */
  async run(): Promise<void> {
    await this.begin();
    this.#shell.stdin?.end();
    const watchdog = setTimeout(() => this.kill(), LIMIT);
    await this.#closed;
    clearTimeout(watchdog);
    if (this.#said !== '' && !this.#said.endsWith('\n')) this.#said += '\n';
    this.#check(new RegExp(`^${this.#pattern}$`));
  }

  kill(): void {
    if (this.#over || this.#shell.pid === undefined) return;
    try {
      process.kill(-this.#shell.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  get #pattern(): string {
    return patternOf(this.#steps.map(({ output }) => output).join(''));
  }

  get #text(): string {
    return plain(this.#shown(this.#said));
  }

  async #until(pattern: RegExp, command: string): Promise<void> {
    for (let waited = 0; !pattern.test(this.#text); waited += STEP) {
      if (this.#over || waited > LIMIT) this.#check(pattern, command);
      await new Promise((resolve) => setTimeout(resolve, STEP));
    }
  }

  #check(pattern: RegExp, command?: string): void {
    if (pattern.test(this.#text)) return;
    const expected = plain(this.#steps.map((step) => step.output).join(''));
    assert.equal(this.#text, expected, command);
    assert.fail(`after ${command ?? 'all'}: ${pattern.source}`);
  }
}
