/**
 * A directory in which a document's commands are run: its files, `mdevsim` in PATH, as scripts/mdevsim and as an npm package, a /tmp of
 * its own.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MDEVSIM } from '../cli/mdevsim.js';
import type { ConsoleBlock } from './document.js';
import { Terminal } from './terminal.js';

const ROOT = join(import.meta.dirname, '../..');
/** ms */
const LIMIT = 60_000;

export class Scratch {
  readonly dir = mkdtempSync(join(tmpdir(), 'mdevsim-docs-'));
  readonly #terminals: Terminal[] = [];

  /** `programs`: other programs by name, with their paths. */
  constructor(files: ReadonlyMap<string, string>, programs: Readonly<Record<string, string>> = {}) {
    for (const [name, text] of files) writeFileSync(join(this.dir, name), text);
    for (const folder of ['bin', 'node_modules', 'tmp', 'scripts']) mkdirSync(join(this.dir, folder));
    const program = join(this.dir, 'bin/mdevsim');
    writeFileSync(program, `#!/bin/sh\nexec ${MDEVSIM.map((word) => `'${word}'`).join(' ')} "$@"\n`);
    chmodSync(program, 0o755);
    symlinkSync(program, join(this.dir, 'scripts/mdevsim'));
    symlinkSync(ROOT, join(this.dir, 'node_modules/mdevsim'));
    symlinkSync(join(ROOT, 'scripts/scenarios'), join(this.dir, 'scripts/scenarios'));
    for (const [name, path] of Object.entries(programs)) symlinkSync(path, join(this.dir, 'bin', name));
  }

  /** Runs a block in one shell; asserts that it prints what the document says, where DIR is this directory. */
  async run(block: ConsoleBlock): Promise<void> {
    await this.#open(block).run();
  }

  /** The terminals of one story, opened one after the other; the last one ends it. */
  async play(blocks: readonly ConsoleBlock[]): Promise<void> {
    const terminals = blocks.map((block) => this.#open(block));
    for (const terminal of terminals) await terminal.begin();
    for (const terminal of terminals) await terminal.complete();
  }

  /** Also where a block failed: what still runs is ended, what is still mounted below goes. */
  [Symbol.dispose](): void {
    for (const terminal of this.#terminals) terminal.kill();
    const script = 'grep -o " $1/[^ ]* fuse.mdevsim" /proc/self/mounts | while read -r at _; do umount -l "$at"; done';
    spawnSync('sh', ['-c', script, 'sh', this.dir], { timeout: LIMIT, killSignal: 'SIGKILL' });
    rmSync(this.dir, { recursive: true, force: true });
  }

  #open({ steps, terminal }: ConsoleBlock): Terminal {
    const env = {
      ...process.env, LC_ALL: 'C', RUST_BACKTRACE: '0', MDEVSIM: MDEVSIM.join(' '),
      PATH: `${join(this.dir, 'bin')}:${process.env['PATH'] ?? ''}`,
    };
    const own = steps.map(({ command, output }) => ({ command: command.replaceAll(/(^|[ :=])\/tmp\//g, `$1${this.dir}/tmp/`), output }));
    const shown = (text: string): string => text.replaceAll(`${this.dir}/tmp/`, '/tmp/').replaceAll(this.dir, 'DIR')
      .replaceAll(/mdevsim-\w{6}\b/g, 'mdevsim-XXXXXX');
    const opened = new Terminal({ steps: own, terminal }, this.dir, env, shown);
    this.#terminals.push(opened);
    return opened;
  }
}
