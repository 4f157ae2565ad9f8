import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, noMounts, removeMountPoint, sh, temporaryDirectory } from './mounted.js';

const NOBODY = 65534;
const AS_NOBODY = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
const SCRIPT = join(import.meta.dirname, 'client-denied.ts');

const skip = ((): string | false => {
  if (noMounts !== false) return noMounts;
  if (spawnSync('fusermount3', ['--version']).error !== undefined) return 'needs fusermount3';
  if (spawnSync('setpriv', [...AS_NOBODY, process.execPath, '-e', `require('fs').readFileSync('${SCRIPT}')`]).status !== 0) {
    return 'needs setpriv, and a checkout that nobody can read';
  }
  return false;
})();

const asNobody = (...args: string[]): Client =>
  new Client('setpriv', [...AS_NOBODY, process.execPath, '--import', 'tsx', SCRIPT, ...args]);

test('without privileges: fusermount3 mounts, files are the user\'s, what may not be read is EPERM or EACCES', { skip }, async () => {
  const dir = temporaryDirectory();
  chownSync(dir, NOBODY, NOBODY);
  const server = asNobody('serve', dir);
  try {
    await server.says('ready');
    assert.equal((await sh(`setpriv ${AS_NOBODY.join(' ')} stat -c '%u %a' ${dir}/file`)).stdout, `${NOBODY} 644\n`);
    // EINVAL: descriptor 0 is no eventfd. Then the client forbids being looked at.
    assert.equal((await asNobody('ask', dir).done).stdout, '0 22 0\n1 13 13\n');
    assert.match(server.stderr, /memory of a client[^]*CAP_SYS_PTRACE[^]*ptrace_scope/);
    assert.equal(server.stderr.match(/memory of a client/g)?.length, 1);
    assert.equal(server.stderr.match(/descriptor of a client/g)?.length, 1);
  } finally {
    server.process.kill('SIGTERM');
    await server.done;
    removeMountPoint(dir);
  }
});
