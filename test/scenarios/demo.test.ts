/** scripts/demo without QEMU: it tells its story to the end, and leaves nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');

test('scripts/demo --vmm shows a migration that a block prevents, and a block that a migration prevents', { skip: existsSync('/dev/fuse') ? false : 'needs /dev/fuse' }, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-test-demo-'));
  try {
    const { status, stdout, stderr } = spawnSync(join(ROOT, 'scripts/demo'), ['--vmm'], {
      encoding: 'utf8', timeout: 100_000, killSignal: 'SIGKILL', env: { ...process.env, TMPDIR: scratch },
    });
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.match(stdout, /blocked-reasons \[".*: Migration is disabled for VFIO device"\]/);
    assert.match(stdout, /migrate says: .*: Migration is disabled for VFIO device\n/);
    assert.match(stdout, /in PRE_COPY\n.*echo 1 > migration_block\n.*Device or resource busy\n/);
    assert.match(stdout, /the migration completed after/);
    assert.match(stdout, /target: RESUMING -> STOP -> RUNNING_P2P -> RUNNING\n/);
    assert.match(stdout, /everything is cleaned up\n$/);
    assert.deepEqual(readdirSync(scratch).filter((entry) => entry.startsWith('mdevsim')), []);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
