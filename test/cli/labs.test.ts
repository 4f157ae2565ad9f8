/** Labs as the command line names them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { needLab } from '../../src/cli/labs.js';
import { Lab } from '../../src/index.js';
import { asRoot } from './mdevsim.js';

it('a lab is found through a symbolic link to its directory', asRoot, async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-labs-'));
  try {
    mkdirSync(join(scratch, 'plain/lab'), { recursive: true });
    symlinkSync('plain', join(scratch, 'link'));
    await using lab = await Lab.mount(join(scratch, 'link/lab'));
    assert.equal(lab.dir, join(scratch, 'plain/lab'));
    assert.equal(needLab(join(scratch, 'link/lab')), lab.dir);
    assert.equal(needLab(lab.dir), lab.dir);
    assert.throws(() => needLab(join(scratch, 'link')), /is not a mounted lab/);
    assert.throws(() => needLab(join(scratch, 'none/lab')), /is not a mounted lab/);
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
