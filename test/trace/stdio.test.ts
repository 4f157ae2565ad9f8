/** What a program that writes through src/trace/stdio.ts leaves of the files that it shares with others, and when it fails. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import ts from 'typescript';

// As JavaScript, for tsx touches the streams of the programs that it loads.
const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-test-'));
after(() => rmSync(scratch, { recursive: true }));
const MODULE = join(scratch, 'stdio.mjs');
const source = readFileSync(new URL('../../src/trace/stdio.ts', import.meta.url), 'utf8');
writeFileSync(MODULE, ts.transpile(source, { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }));

/** A program with these functions, as "$@" of a shell script. */
function play(script: string, program: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const text = `
    import { readFileSync, writeFileSync, writeSync } from 'node:fs';
    import { announceStdout, logStderr, writeStderr, writeStdout } from '${MODULE}';
    ${program}
  `;
  const command = [process.execPath, '--input-type=module', '-e', text];
  return spawnSync('bash', ['-c', `set -o pipefail; ${script}`, 'bash', ...command], { encoding: 'utf8', timeout: 30_000 });
}

/** What the program has made of its stdout and stderr, written to its descriptor 3. */
const FLAGS = `
  for (const fd of [1, 2]) writeSync(3, /flags:\\s*(\\d+)/.exec(readFileSync('/proc/self/fdinfo/' + fd, 'utf8'))[1] + '\\n');`;
const isBlocking = (flags: string): boolean => (Number.parseInt(flags, 8) & 0o4000) === 0;

describe('stdio', { timeout: 60_000 }, () => {
  for (const [what, program] of [
    ['answers and messages', "writeStdout('a'); writeStderr('b');"], ["a server's words", "announceStdout('a'); logStderr('b');"],
  ] as const) {
    it(`stays blocking for the others after ${what}`, () => {
      const { stdout, stderr } = play('{ "$@" 2> >(cat >&4) | cat >&4; } 3>&1 4>&2', `${program}${FLAGS}`);
      assert.deepEqual([...stderr].sort(), ['a', 'b']);
      assert.deepEqual(stdout.trim().split('\n').map(isBlocking), [true, true], stdout);
    });
  }

  it('takes all of a long answer to a slow reader, also where another program made the file non-blocking', () => {
    const reader = 'until [ -e "$dir/began" ]; do sleep 0.05; done; sleep 0.3; wc -c; rm -r "$dir"';
    // Touching process.stdout is enough.
    const { status, stdout } = play(`export dir=$(mktemp -d); "$@" | { ${reader}; }`, `
      process.stdout.on('error', () => 0);
      writeFileSync(process.env.dir + '/began', '');
      writeStdout('x'.repeat(1_000_000));
    `);
    assert.deepEqual([status, stdout.trim()], [0, '1000000']);
  });

  it('is no failure when its reader has gone', () => {
    const { status, stderr } = play('"$@" | true', `await new Promise((done) => setTimeout(done, 300)); writeStdout('x'.repeat(1_000_000)); writeStderr('y');`);
    assert.deepEqual([status, stderr], [0, 'y']);
  });

  it('fails where the answer cannot be written', () => {
    const { status, stderr } = play('"$@" > /dev/full', `try { writeStdout('answer'); } catch ({ code }) { writeStderr(code); process.exitCode = 3; }`);
    assert.deepEqual([status, stderr], [3, 'ENOSPC']);
  });

  it('keeps a log until somebody reads it, and does not wait', () => {
    const reader = 'until [ -e "$dir/logged" ]; do sleep 0.05; done; wc -c; rm -r "$dir"';
    const { status, stdout } = play(`export dir=$(mktemp -d); "$@" 2>&1 | { ${reader}; }`, `
      for (let i = 0; i < 1000; i++) logStderr('x'.repeat(999) + '\\n');
      writeFileSync(process.env.dir + '/logged', '');
    `);
    assert.deepEqual([status, stdout.trim()], [0, '1000000']);
  });
});
