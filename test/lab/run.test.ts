/** Programs that the library's user runs on a lab of his own process: what they see, and what is left of them and of it. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { defineDriver, Lab, MountError } from '../../src/index.js';
import type { LabOptions } from '../../src/index.js';
import { eventually } from '../cli/mdevsim.js';
import { leftBy } from './tmpdir.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const skip = process.getuid?.() !== 0 ? 'needs root' : !existsSync('/dev/fuse') ? 'needs /dev/fuse' : false;
const DEVICE = `/sys/bus/mdev/devices/${UUID}`;

describe('Lab.temporary()', { skip, timeout: 60_000 }, () => {
  it('has a directory of its own, which goes with it', async () => {
    await using lab = await Lab.temporary();
    assert.deepEqual((await readdir(lab.dir)).sort(), ['.slots', 'dev', 'sys']);
    await lab.unmount();
    assert.ok(!existsSync(lab.dir));
  });

  it('is gone as well when somebody else unmounts it', async () => {
    await using lab = await Lab.temporary();
    await promisify(execFile)('umount', [lab.dir]);
    assert.equal(await lab.ended, 'unmounted');
    assert.ok(!existsSync(lab.dir));
  });

  it('leaves no directory where it cannot be made', async () => {
    assert.deepEqual(await leftBy(() => assert.rejects(Lab.temporary({ devices: [{ type: 'mtty-9' }] }), { code: 'ENODEV' })), []);
  });

  it('leaves none either when its process just ends', () => {
    const index = new URL('../../src/index.ts', import.meta.url).href;
    const script = `
      import { Lab } from '${index}';
      const lab = await Lab.temporary();
      console.log(lab.dir);
      process.exit(3);
    `;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 30_000 });
    assert.equal(status, 3);
    assert.match(stdout, /^\/.*mdevsim-/);
    assert.ok(!existsSync(stdout.trim()));
  });
});

describe('Lab.mount()', { skip, timeout: 60_000 }, () => {
  const refuses = (dir: string, why: string, options: LabOptions = {}, named = dir): Promise<void> =>
    assert.rejects(Lab.mount(dir, options), (error) => error instanceof MountError && error.message === `cannot mount at ${named}: ${why}`);

  it('covers no files', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-test-'));
    writeFileSync(join(dir, 'precious'), '');
    await refuses(dir, 'it is not empty');
    rmSync(dir, { recursive: true });
  });

  it('does not wait for a lab of the same process where it shall be inside', async () => {
    await using lab = await Lab.temporary();
    await refuses(join(lab.dir, 'sys'), `it is inside the lab at ${lab.dir}`);
    await refuses(join(lab.dir, 'sys/new'), `it is inside the lab at ${lab.dir}`, { create: true });
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-test-'));
    symlinkSync(lab.dir, join(dir, 'link'));
    await refuses(join(dir, 'link/sys'), `it is inside the lab at ${lab.dir}`, {}, join(lab.dir, 'sys'));
    rmSync(dir, { recursive: true });
  });
});

describe('lab.run()', { skip, timeout: 60_000 }, () => {
  it('gives the status, the signal and the output of a program that sees the lab as its machine', async () => {
    await using lab = await Lab.temporary();
    lab.createDevice({ type: 'mtty-1', uuid: UUID });
    const shown = await lab.run(['sh', '-c', `cat ${DEVICE}/mdev_type/name; ls /dev/vfio/0; cat nothing; exit 7`], { cwd: '/', env: { ...process.env, LC_ALL: 'C' } });
    assert.deepEqual(shown, {
      status: 7, signal: null, stdout: 'Single port serial\n/dev/vfio/0\n', stderr: 'cat: nothing: No such file or directory\n',
    });
    assert.equal((await lab.run(['sh', '-c', 'kill -TERM $$'])).signal, 'SIGTERM');
  });

  it('passes its input on, also to one that takes none of it', async () => {
    await using lab = await Lab.temporary();
    const { stdout } = await lab.run(['tee', '/dev/null'], { input: 'x'.repeat(100_000) });
    assert.equal(stdout.length, 100_000);
    assert.equal((await lab.run(['true'], { input: 'x'.repeat(300_000) })).status, 0);
  });

  it('rejects when it is aborted, and ends the program', async () => {
    await using lab = await Lab.temporary();
    const abort = new AbortController();
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-test-'));
    const running = lab.run(['sh', '-c', 'echo $$ > "$0"; exec sleep 100', join(dir, 'pid')], { signal: abort.signal });
    const pid = (): string => (existsSync(join(dir, 'pid')) ? readFileSync(join(dir, 'pid'), 'utf8').trim() : '');
    await eventually('the program to run', () => pid() !== '');
    abort.abort();
    await assert.rejects(running, { name: 'AbortError' });
    await eventually('the program to end', () => !existsSync(`/proc/${pid()}`));
    rmSync(dir, { recursive: true });
  });

  it('is answered as the command line answers, where there is no such program', async () => {
    await using lab = await Lab.temporary();
    const { status, stderr } = await lab.run(['no-such-program']);
    assert.equal(status, 127);
    assert.match(stderr, /no-such-program/);
    await assert.rejects(lab.run([]), RangeError);
  });
});

describe('lab.spawn()', { skip, timeout: 60_000 }, () => {
  it('gives the child process, with the lab as its machine', async () => {
    await using lab = await Lab.temporary();
    const device = lab.createDevice({ type: 'mtty-1', uuid: UUID });
    const child = lab.spawn(['sh', '-c', 'read line; echo "$line" > "$0"; read line', `${DEVICE}/migration_block`], { stdio: ['pipe', 'ignore', 'inherit'] });
    const blocked = lab.next('block', ({ uuid }) => uuid === UUID);
    child.stdin?.write('1\n');
    await blocked;
    assert.equal(device.blocked, true);
    child.stdin?.end();
    await once(child, 'close');
  });
});

/** Tells `called`, and never answers. */
function stuck(called: () => void): ReturnType<typeof defineDriver> {
  const wait = (): Promise<never> => {
    called();
    return new Promise(() => undefined);
  };
  return defineDriver({
    name: 'stuck', types: [{ name: 'stuck-1' }], create: () => ({ attributes: { value: { show: wait, store: wait } } }),
  });
}

describe('an attribute of a driver that never answers', { skip, timeout: 60_000 }, () => {
  for (const command of ['cat "$0"', 'echo 1 > "$0"']) {
    it(`is left by a signal: ${command}`, async () => {
      let resolve = (): void => undefined;
      const called = new Promise<void>((done) => { resolve = done; });
      await using lab = await Lab.temporary({ drivers: [{ name: 'stuck', factory: stuck(() => resolve()) }], devices: [{ type: 'stuck-1', uuid: UUID }] });
      const program = lab.spawn(['bash', '-c', command, `${DEVICE}/value`], { stdio: 'ignore' });
      await called;
      program.kill('SIGTERM');
      assert.deepEqual(await once(program, 'close'), [null, 'SIGTERM']);
      await lab.device(UUID)?.remove();
    });
  }
});
