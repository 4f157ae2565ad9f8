/** Documents whose commands are run as written: `console` blocks with `$ command` and its output, files in other blocks. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MDEVSIM } from './mdevsim.js';

/** ms for one block */
const LIMIT = 60_000;

interface Block { readonly language: string; readonly text: string }

function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({ language, text }));
}

export interface ConsoleBlock { readonly commands: string; readonly output: string }

export interface Document { readonly files: ReadonlyMap<string, string>; readonly consoles: readonly ConsoleBlock[] }

/** A document's files and commands. A block whose first line is a comment with a file name is that file. */
export function readDocument(path: string): Document {
  const blocks = blocksOf(readFileSync(path, 'utf8'));
  const files = blocks.flatMap(({ text }) => {
    const name = /^(?:#|\/\/) ([\w-]+\.\w+)\n/.exec(text)?.[1];
    return name === undefined ? [] : [[name, text] as const];
  });
  const consoles = blocks.filter(({ language }) => language === 'console').map(({ text }) => {
    const lines = text.split('\n');
    const commands = lines.filter((line) => line.startsWith('$ ')).map((line) => `${line.slice(2)}\n`).join('');
    return { commands, output: lines.filter((line) => !line.startsWith('$ ')).join('\n') };
  });
  return { files: new Map(files), consoles };
}

/** A directory with a document's files, and `mdevsim` in PATH. */
export class Scratch {
  readonly dir = mkdtempSync(join(tmpdir(), 'mdevsim-docs-'));

  constructor(files: ReadonlyMap<string, string>) {
    for (const [name, text] of files) writeFileSync(join(this.dir, name), text);
    mkdirSync(join(this.dir, 'bin'));
    const program = join(this.dir, 'bin/mdevsim');
    writeFileSync(program, `#!/bin/sh\nexec ${MDEVSIM.map((word) => `'${word}'`).join(' ')} "$@"\n`);
    chmodSync(program, 0o755);
  }

  /** Runs a block in one bash; asserts that it prints what the document says, where DIR is this directory. */
  run({ commands, output }: ConsoleBlock): void {
    const { stdout, error } = spawnSync('bash', ['--norc', '-c', `exec 2>&1\n${commands}wait\n`], {
      cwd: this.dir, encoding: 'utf8', timeout: LIMIT, killSignal: 'SIGKILL',
      env: { ...process.env, PATH: `${join(this.dir, 'bin')}:${process.env['PATH'] ?? ''}` },
    });
    if (error !== undefined) throw error;
    const plain = stdout.replaceAll(this.dir, 'DIR').replaceAll(/mdevsim-\w{6}\b/g, 'mdevsim-XXXXXX');
    assert.equal(plain, output, commands);
  }

  /** Also where a block failed: what is still mounted below goes. */
  [Symbol.dispose](): void {
    const script = 'grep -o " $1/[^ ]* fuse.mdevsim" /proc/self/mounts | while read -r at _; do umount -l "$at"; done';
    spawnSync('sh', ['-c', script, 'sh', this.dir], { timeout: LIMIT, killSignal: 'SIGKILL' });
    rmSync(this.dir, { recursive: true, force: true });
  }
}
