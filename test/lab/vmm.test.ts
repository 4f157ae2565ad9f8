/** The library's Vmm, as its user has it. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { umountLab } from '../../src/index.js';
import { asRoot, eventually, MDEVSIM } from '../cli/mdevsim.js';
import { Bench, quickly, SOURCE } from '../client/pair.js';
import { Child, ROOT } from '../e2e/child.js';

const INDEX = join(ROOT, 'src/index.ts');

/** Kills a process that runs this program, which has started `vmm`: that ends too, and its sockets and their directory go. */
async function leavesNothing(program: string): Promise<void> {
  const user = new Child('user', [process.execPath, '--import', 'tsx', '--input-type=module', '-e', `
    ${program}
    console.log('started', vmm.process.pid, vmm.socket, '.');
    setInterval(() => undefined, 1000);
  `]);
  try {
    const [, pid, socket = ''] = (await user.line(30, /^started .* \.$/)).split(' ');
    assert.ok(existsSync(socket));
    user.process.kill('SIGKILL');
    await user.ended;
    await eventually('the VMM to end', () => !existsSync(`/proc/${pid}`));
    await eventually('its directory to go', () => !existsSync(dirname(socket)));
  } finally {
    user.kill();
  }
}

describe('Vmm', { timeout: 60_000 }, () => {
  it('tells of the migration that was begun last, and of the break that holds it', () => Bench.with({}, async (bench) => {
    const { source, target } = await bench.pair(['--break', 'connect']);
    await quickly(source);
    const nowhere = `unix:${bench.scratch}/nowhere`;
    for (const uri of [nowhere, nowhere, target.uri]) {
      await source.qmp.execute('migrate', { uri });
      await source.held('connect');
      // Asked again it is held still.
      await source.held('connect');
      await source.qmp.execute('x-mdevsim-continue', {});
      if (uri === nowhere) await assert.rejects(source.migrated(), /^Error: the migration failed: Failed to connect to/);
      else assert.equal((await source.migrated()).status, 'completed');
    }
    assert.equal((await source.migrated()).status, 'completed', 'asked again');
    await target.qmp.status(['completed']);

    // What it was the target of is none of those that it begins.
    await target.qmp.execute('migrate', { uri: nowhere });
    await assert.rejects(target.migrated(), /^Error: the migration failed/);
  }));

  it('ends with the process that started it, and leaves nothing', () => Bench.with({}, async (bench) => {
    const options = { lab: bench.lab.dir, devices: [`${SOURCE},id=vf0`], incoming: true, command: MDEVSIM };
    await leavesNothing(`
      import { Vmm } from '${INDEX}';
      const vmm = await Vmm.start(${JSON.stringify(options)});
    `);
  }));

  it('leaves nothing either where the lab ends with that process', asRoot, async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-vmm-test-'));
    try {
      await leavesNothing(`
        import { Lab, Vmm } from '${INDEX}';
        const lab = await Lab.mount('${scratch}');
        const device = lab.createDevice({ type: 'mtty-1' });
        const vmm = await Vmm.start({ lab, devices: [device.uuid + ',id=vf0'], args: ['--guest-load'] });
      `);
    } finally {
      await umountLab(scratch).catch(() => undefined);
      rmSync(scratch, { recursive: true, force: true });
    }
  });
});
