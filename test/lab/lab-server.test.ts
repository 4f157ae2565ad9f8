/** The library's LabServer, as its user has it: everything that touches the mount here is a synchronous call. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LabServer } from '../../src/index.js';
import type { LabServerOptions } from '../../src/index.js';
import { asRoot, eventually, LOUD_DRIVER, MDEVSIM } from '../cli/mdevsim.js';
import { Child, ROOT } from '../e2e/child.js';
import { leftBy } from './tmpdir.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const start = (options: LabServerOptions = {}): Promise<LabServer> => LabServer.start({ command: MDEVSIM, ...options });

describe('LabServer', { ...asRoot, timeout: 60_000 }, () => {
  it('serves a lab that synchronous calls may touch, and leaves nothing', async () => {
    const lab = await start({ args: ['--mdev', `mtty-2,uuid=${UUID}`] });
    try {
      const [device] = lab.devices;
      assert.ok(device !== undefined);
      assert.deepEqual([device.uuid, device.type, device.parent], [UUID, 'mtty-2', 'mtty']);
      writeFileSync(`${device.path}/migration_block`, '1');
      assert.equal(readFileSync(`${device.path}/migration_block`, 'utf8'), '1\n');
      assert.equal(execFileSync('cat', [`${device.path}/mdev_type/device_api`], { encoding: 'utf8' }), 'vfio-pci\n');
      assert.ok(existsSync(device.groupNode) && existsSync(device.cdevNode));
      const { stdout } = await lab.run(['sh', '-c', 'ls /sys/bus/mdev/devices']);
      assert.equal(stdout, `${UUID}\n`);
    } finally {
      await lab.end();
    }
    assert.equal(await lab.ended, 0);
    assert.ok(!existsSync(lab.dir));
    await lab.end();
  });

  it('says why it cannot start, and leaves nothing then either', async () => {
    assert.deepEqual(await leftBy(() =>
      assert.rejects(start({ args: ['--mdev', 'mtty-9'] }), /^Error: mdevsim mount ended with 1: .*no type mtty-9/)), []);
  });

  it('is not led astray by what a driver prints, nor by long lines', async () => {
    const driver = join(tmpdir(), `mdevsim-test-${process.pid}.mjs`);
    writeFileSync(driver, LOUD_DRIVER);
    try {
      const many = Array.from({ length: 400 }, () => ['--mdev', 'mtty-1']).flat();
      const lab = await start({ args: ['--driver', driver, '--driver', 'mtty=20', '--mdev', `loud-1,uuid=${UUID}`, ...many] });
      try {
        assert.equal(lab.devices.length, 401);
        assert.equal(readFileSync(`${lab.devices[0]?.path}/value`, 'utf8'), '1\n');
      } finally {
        await lab.end();
      }
    } finally {
      rmSync(driver);
    }
  });

  it('end() ends its own lab only, however often', async () => {
    const first = await start();
    await first.end();
    mkdirSync(first.dir);
    const second = await start({ dir: first.dir });
    try {
      await first.end();
      assert.ok(existsSync(join(second.dir, 'sys')));
      await assert.rejects(start({ dir: first.dir }), /a lab is already mounted/);
      assert.ok(existsSync(join(second.dir, 'sys')));
    } finally {
      await second.end();
    }
  });

  it('end() clears up after a server that was killed', async () => {
    const lab = await start();
    lab.process.kill('SIGKILL');
    assert.equal(await lab.ended, null);
    assert.throws(() => readdirSync(join(lab.dir, 'sys')), { code: 'ENOTCONN' });
    await lab.end();
    assert.ok(!existsSync(lab.dir));
  });

  it('ends with the process that started it, and leaves nothing', async () => {
    const user = new Child('user', [process.execPath, '--import', 'tsx', '--input-type=module', '-e', `
      import { LabServer } from '${join(ROOT, 'src/index.ts')}';
      const lab = await LabServer.start(${JSON.stringify({ command: MDEVSIM })});
      console.log('started', lab.process.pid, lab.dir, '.');
      setInterval(() => undefined, 1000);
    `]);
    try {
      const [, pid, dir = ''] = (await user.line(30, /^started .* \.$/)).split(' ');
      assert.ok(existsSync(join(dir, 'sys')));
      user.process.kill('SIGKILL');
      await user.ended;
      await eventually('the server to end', () => !existsSync(`/proc/${pid}`));
      assert.ok(!existsSync(dir));
    } finally {
      user.kill();
    }
  });
});
