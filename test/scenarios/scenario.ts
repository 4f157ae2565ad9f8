/** Plays one of scripts/scenarios under every policy, and checks the line in which it says where it was seen. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MDEVSIM } from '../cli/mdevsim.js';

const SCENARIOS = join(import.meta.dirname, '../../scripts/scenarios');
/** ms */
const LIMIT = 80_000;

const missing = process.getuid?.() !== 0 ? 'needs root' : existsSync('/dev/fuse') ? false : 'needs /dev/fuse';

/** `seen`: policies under which it is seen. `lines`: what it must have said on the way. */
export function scenario(name: string, seen: string, notSeen: string, lines: readonly RegExp[] = []): void {
  test(`scripts/scenarios/${name} is seen under ${seen} only`, { skip: missing }, () => {
    const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-test-scenario-'));
    try {
      const { status, stdout, stderr } = spawnSync(join(SCENARIOS, name), {
        encoding: 'utf8', timeout: LIMIT, killSignal: 'SIGKILL', env: { ...process.env, TMPDIR: scratch, MDEVSIM: MDEVSIM.join(' ') },
      });
      assert.equal(status, 0, `${stdout}${stderr}`);
      assert.equal(stdout.trimEnd().split('\n').at(-1), `seen under: ${seen}; not under: ${notSeen}`, `${stdout}${stderr}`);
      for (const line of lines) assert.match(stdout, line);
      assert.deepEqual(readdirSync(scratch).filter((entry) => entry.startsWith('mdevsim')), [], 'nothing is left');
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
}
