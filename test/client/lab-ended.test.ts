/** The lab's server dies under a VMM. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { Vmm } from '../../src/index.js';
import { asRoot, MDEVSIM, Server } from '../cli/mdevsim.js';

const UUID = '11111111-1111-4111-8111-111111111111';

describe('mdevsim vmm in a lab that has ended', { timeout: 60_000, ...asRoot }, () => {
  for (const [what, options] of [['by group', ''], ['by cdev', ',iommufd=on'], ['of which it makes no use', ',enable-migration=off']] as const) {
    it(`says so and ends, when nothing happens to its device ${what}`, async () => {
      await using lab = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
      const vmm = await Vmm.start({ lab: lab.dir, devices: [`${UUID},id=vf0${options}`], command: MDEVSIM });
      try {
        lab.process.kill('SIGKILL');
        await lab.ended;
        assert.equal(await vmm.ended, 1);
        assert.ok(vmm.output.includes(`mdevsim: the lab at ${lab.dir} has ended\n`), vmm.output);
      } finally {
        await vmm.kill();
      }
    });
  }

  it('ends, and does not go on with a migration', async () => {
    await using lab = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    const vmm = await Vmm.start({ lab: lab.dir, devices: [`${UUID},id=vf0`], args: ['--break', 'save_setup'], command: MDEVSIM });
    const listener = createServer();
    try {
      await once(listener.listen(0, '127.0.0.1'), 'listening');
      await vmm.qmp.execute('migrate', { uri: `tcp:127.0.0.1:${(listener.address() as AddressInfo).port}` });
      await vmm.held('save_setup');
      lab.process.kill('SIGKILL');
      await lab.ended;
      assert.equal(await vmm.ended, 1);
      assert.ok(vmm.output.includes(`mdevsim: the lab at ${lab.dir} has ended\n`), vmm.output);
    } finally {
      listener.close();
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
