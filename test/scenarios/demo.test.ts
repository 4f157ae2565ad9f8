/** scripts/demo tells its story to the end, as README shows it, whoever starts it, and leaves nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { AS_NOBODY, whyNotNobody } from '../cli/nobody.js';
import { whyNoQemu } from '../e2e/requirements.js';

const ROOT = join(import.meta.dirname, '../..');

/** What it says; the machine must be as clean afterwards as it was before. */
function play(argv: readonly string[]): string {
  const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-test-demo-'));
  chmodSync(scratch, 0o777);
  try {
    const [file = '', ...args] = argv;
    const { status, stdout, stderr } = spawnSync(file, args, {
      encoding: 'utf8', timeout: 100_000, killSignal: 'SIGKILL', env: { ...process.env, TMPDIR: scratch },
    });
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.match(stdout, /everything is cleaned up\n$/);
    assert.deepEqual(readdirSync(scratch).filter((entry) => entry.startsWith('mdevsim')), []);
    return stdout;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The demo's lines in README, with any number for a number. */
function shownInReadme(): RegExp {
  const blocks = readFileSync(join(ROOT, 'README.md'), 'utf8').split(/^```\w*\n/m);
  const shown = blocks.find((block) => block.includes('the migration has begun'));
  assert.ok(shown, 'README shows no demo');
  const escaped = shown.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(escaped.replace(/^ *(?=\d)/gm, ' *').replace(/\d+(\\\.\d+)?/g, '[\\d.]+'));
}

const DEMO = join(ROOT, 'scripts/demo');
const EBUSY = /in PRE_COPY\n.*echo 1 > migration_block\n.*: write error: Device or resource busy\n *exit status 1\n/;
const noFuse = existsSync('/dev/fuse') ? false : 'needs /dev/fuse';

describe('scripts/demo', { timeout: 110_000 }, () => {
  it('shows a migration that a block prevents, and a block that a migration prevents', { skip: noFuse }, () => {
    const said = play([DEMO]);
    assert.match(said, /blocked-reasons \[".*: Migration is disabled for VFIO device"\]/);
    assert.match(said, /migrate says: .*: Migration is disabled for VFIO device\n/);
    assert.match(said, EBUSY);
    assert.match(said, shownInReadme());
  });

  it('does so for an ordinary user', { skip: whyNotNobody('fusermount3', 'namespaces') }, () => {
    assert.match(play([...AS_NOBODY, DEMO]), shownInReadme());
  });

  it('--qemu shows it with two stock QEMUs', { skip: whyNoQemu() ?? false }, () => {
    const said = play([DEMO, '--qemu']);
    assert.match(said, /its eventfd was signalled 2 times/);
    assert.match(said, EBUSY);
    assert.match(said, /the migration completed after .*\n *QEMU moved \d+ device bytes\n/);
    assert.match(said, /target: RESUMING -> STOP -> RUNNING_P2P -> RUNNING\n/);
  });
});
