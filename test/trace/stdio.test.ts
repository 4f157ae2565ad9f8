/** What a program that writes through src/trace/stdio.ts leaves of the files that it shares with others, and when it fails. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const MODULE = fileURLToPath(new URL('../../src/trace/stdio.ts', import.meta.url));

/** A program with these functions, as "$@" of a shell script. */
function play(script: string, program: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const source = `import { logStderr, writeStderr, writeStdout } from '${MODULE}'; ${program}`;
  const command = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', source];
  return spawnSync('bash', ['-c', `set -o pipefail; ${script}`, 'bash', ...command], { encoding: 'utf8', timeout: 30_000 });
}

/** Status flags of a descriptor. */
const FLAGS = (fd: number): string => `sed -n 's/^flags:[[:space:]]*//p' /proc/self/fdinfo/${fd}`;
const isBlocking = (flags: string): boolean => (Number.parseInt(flags, 8) & 0o4000) === 0;

describe('stdio', () => {
  it('stays blocking for the others after answers and messages', () => {
    const { stdout } = play(`{ "$@" && ${FLAGS(1)} >&3; ${FLAGS(2)} >&3; } 3>&1 2>&1 >/dev/null | cat`,
      `writeStdout('answer\\n'); writeStderr('message\\n');`);
    const [message, ...flags] = stdout.trim().split('\n');
    assert.equal(message, 'message');
    assert.deepEqual(flags.map(isBlocking), [true, true], stdout);
  });

  it('takes all of a long answer to a slow reader, also where another program made the file non-blocking', () => {
    const { status, stdout } = play('"$@" | { sleep 0.3; wc -c; }',
      // Touching it is enough.
      `process.stdout.on('error', () => 0); writeStdout('x'.repeat(1_000_000));`);
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
      import { writeFileSync } from 'node:fs';
      for (let i = 0; i < 1000; i++) logStderr('x'.repeat(999) + '\\n');
      writeFileSync(process.env.dir + '/logged', '');
    `);
    assert.deepEqual([status, stdout.trim()], [0, '1000000']);
  });
});
