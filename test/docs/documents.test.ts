/** README and docs/: their commands are run as written, in order, and print what they say. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { defineDocument, documentAt } from './suite.js';

const ROOT = new URL('../../', import.meta.url);
/** What a block can be in that is no command. */
const NO_COMMANDS: ReadonlySet<string> = new Set(['c', 'js', 'python', 'text', 'ts', 'yaml']);
/** Pages with commands for other machines, or run by opt-in tests. */
const ELSEWHERE: readonly string[] = ['docs/containers.md', 'docs/gvt-v1.md', 'docs/libvirt.md'];

const documents = ['README.md', ...readdirSync(new URL('docs', ROOT)).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]
  .filter((path) => !ELSEWHERE.includes(path));

describe('the documents', () => {
  it('have no block that could be a command and is not run', () => {
    const others = documents.flatMap((path) => [...documentAt(path).languages]
      .filter((language) => language !== 'console' && !NO_COMMANDS.has(language)).map((language) => `${path}: '${language}'`));
    assert.deepEqual(others, []);
  });
});

/** Pages whose commands need a program that may be missing. */
const NEEDS: Readonly<Record<string, string>> = { 'README.md': 'mdevctl', 'docs/mdevctl.md': 'mdevctl', 'docs/testing.md': 'python3' };

for (const path of documents.filter((document) => documentAt(document).consoles.length > 0)) {
  const program = NEEDS[path];
  const missing = program !== undefined && spawnSync(program, ['--version']).error !== undefined;
  defineDocument(path, missing ? { skip: `needs ${program}` } : {});
}
