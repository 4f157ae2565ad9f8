/** fs.promises in the process that serves the lab: those calls occupy the worker threads that the lab uses itself. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Lab } from '../../src/index.js';

const why = process.getuid?.() !== 0 ? 'needs root' : !existsSync('/dev/fuse') ? 'needs /dev/fuse' : false;
/** More than libuv has worker threads. */
const MANY = 12;

describe('fs.promises in the lab\'s own process', { skip: why, timeout: 30_000 }, () => {
  it('many devices are removed at a time', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-same-'));
    {
      await using lab = await Lab.mount(dir);
      const paths = Array.from({ length: MANY }, () => join(lab.dir, lab.createDevice({ type: 'mtty-1' }).path));
      // The kernel knows their names, so that each has to be taken back.
      for (const path of paths) assert.equal(await readFile(join(path, 'migration_block'), 'latin1'), '0\n');
      await Promise.all(paths.map((path) => writeFile(join(path, 'remove'), '1')));
      assert.equal(lab.devices.length, 0);
    }
    rmdirSync(dir);
  });

  it('a lab is unmounted while all worker threads wait for it', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-same-'));
    {
      await using lab = await Lab.mount(dir, { devices: Array.from({ length: MANY }, () => ({ type: 'mtty-1' })) });
      const cdevs = await Promise.all(lab.devices.map(({ index }) => open(join(lab.dir, `dev/vfio/devices/vfio${index}`), 'r+')));
      // Each waits until the device is closed, which nobody does.
      const removals = lab.devices.map((device) => writeFile(join(lab.dir, device.path, 'remove'), '1').catch(String));
      while (lab.stats.pending === 0) await new Promise((resolve) => setImmediate(resolve));
      await lab.unmount();
      await Promise.all(removals);
      await Promise.all(cdevs.map((file) => file.close()));
    }
    rmdirSync(dir);
  });
});
