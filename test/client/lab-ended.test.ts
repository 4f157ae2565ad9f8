/** The lab's server dies under a VMM. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Vmm } from '../../src/index.js';
import { asRoot, MDEVSIM, Server } from '../cli/mdevsim.js';

const UUID = '11111111-1111-4111-8111-111111111111';

describe('mdevsim vmm in a lab that has ended', { timeout: 60_000, ...asRoot }, () => {
  it('says so with its next call to a device, and ends', async () => {
    await using lab = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    const vmm = await Vmm.start({ lab: lab.dir, devices: [`${UUID},id=vf0`], command: MDEVSIM });
    try {
      lab.process.kill('SIGKILL');
      await lab.ended;
      assert.equal((await vmm.qmp.execute('query-status')).status, 'running');
      vmm.qmp.execute('stop').catch(() => undefined);
      assert.equal(await vmm.ended, 1);
      assert.ok(vmm.output.includes(`mdevsim: the lab at ${lab.dir} has ended\n`), vmm.output);
    } finally {
      await vmm.kill();
    }
  });

  it('says so by itself where its guest is at work', async () => {
    await using lab = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    const vmm = await Vmm.start({ lab: lab.dir, devices: [`${UUID},id=vf0`], args: ['--guest-load', 'pages=100,bytes=1000'],
      command: MDEVSIM });
    try {
      lab.process.kill('SIGKILL');
      await lab.ended;
      assert.equal(await vmm.ended, 1);
      assert.ok(vmm.output.includes(`mdevsim: the lab at ${lab.dir} has ended\n`), vmm.output);
      assert.doesNotMatch(vmm.output, /guest-load/);
    } finally {
      await vmm.kill();
    }
  });
});
