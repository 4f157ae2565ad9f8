/** Clients that let the server open descriptors in them (mount/supervisor.ts), as any program below `mdevsim run` does. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite, test } from 'node:test';
import type { Mount } from '../../mount/mount.js';
import { Errno } from '../../src/abi/errno.js';
import { VFIO_DEVICE_FEATURE, VFIO_DEVICE_FEATURE_SET, VFIO_GROUP_GET_DEVICE_FD } from '../../src/abi/vfio.js';
import type { FileRequest, OpenFile } from '../../src/kernfs/file.js';
import { Tree } from '../../src/kernfs/tree.js';
import { Client, noMounts, sh, withMount } from './mounted.js';

const skip = noMounts !== false ? noMounts : spawnSync('python3', ['--version']).status === 0 ? false : 'needs python3';

class Given implements OpenFile {
  readonly kind = 'given';
  readonly #lab: Lab;
  readonly #id: number;
  constructor(lab: Lab) {
    this.#lab = lab;
    this.#id = lab.given++;
  }
  read(): Uint8Array {
    return Buffer.from(`file ${this.#id}`);
  }
  write(_request: FileRequest, _offset: number, data: Uint8Array): number {
    return data.length;
  }
  release(): void {
    this.#lab.released.push(this.#id);
  }
}

/** Gives a file for VFIO_GROUP_GET_DEVICE_FD and for states from 3 to 7, when `slow` only when the caller has gone. */
class Lab {
  readonly tree = new Tree();
  given = 0;
  readonly released: number[] = [];
  asked = 0;
  slow = false;

  constructor() {
    this.tree.addFile(this.tree.root, 'device', 0o666, () => ({
      kind: 'device',
      ioctl: (request, command, argument) => this.#ioctl(request, command, argument),
      release: () => undefined,
    }));
  }

  async #ioctl({ caller, signal }: FileRequest, command: number, argument: bigint): Promise<number> {
    this.asked++;
    const give = (): number => {
      const file = new Given(this);
      try {
        return caller.giveFd(file);
      } catch (error) {
        file.release();
        throw error;
      }
    };
    if (command === VFIO_GROUP_GET_DEVICE_FD) return give();
    if (command !== VFIO_DEVICE_FEATURE) throw new Errno('ENOTTY');
    const [, flags = 0, state = 0] = new Uint32Array(caller.read(argument, 12).slice().buffer);
    if (this.slow) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    if (signal.aborted) throw new Errno('EINTR');
    if ((flags & VFIO_DEVICE_FEATURE_SET) === 0 || state < 3 || state > 7) throw new Errno('EINVAL');
    const fd = Buffer.alloc(4);
    fd.writeInt32LE(give());
    caller.write(argument + 12n, fd);
    return 0;
  }
}

const supervised = (dir: string, name: string): Client => new Client(process.execPath, [
  '--import', 'tsx', join(import.meta.dirname, 'supervised.ts'), dir, '/usr/bin/env', 'python3',
  join(import.meta.dirname, 'client-given.py'), dir, name,
], 60_000);

async function withLab(run: (lab: Lab, mount: Mount) => Promise<void>): Promise<void> {
  const lab = new Lab();
  await withMount(lab.tree, (mount) => run(lab, mount));
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (holds()) return;
    await sleep(5);
  }
  assert.fail(`never: ${what}`);
}

/** Everything that a client had is gone. */
const nothingLeft = ({ stats }: Mount, lab: Lab): Promise<void> => until('all is released', () => {
  const { handles, slots, boundSlots, listeners } = stats();
  return handles + slots + boundSlots + listeners === 0 && lab.released.length === lab.given;
});

/** Runs one case to its end; its lines. */
async function runCase(name: string): Promise<{ readonly lines: string[]; readonly lab: Lab }> {
  const lab = new Lab();
  let lines: string[] = [];
  await withMount(lab.tree, async (mount) => {
    const { stdout, stderr, code } = await supervised(mount.dir, name).done;
    assert.equal(code, 0, `${stdout}${stderr}`);
    lines = stdout.trim().split('\n');
    await nothingLeft(mount, lab);
  });
  return { lines, lab };
}

suite('supervised clients', { skip }, () => {
  test('a descriptor has the lowest free number, is close-on-exec and has a mode of its own', async () => {
    assert.deepEqual((await runCase('lowest_number')).lines, ['1 2 1 0o100600', 'file 0 file 1', '1']);
  });

  test('a program gets them that was started without any inherited descriptor', async () => {
    assert.deepEqual((await runCase('python_child')).lines, ['1 2 1 0o100600', 'file 0 file 1', '1']);
  });

  test('data streams are open in one direction, and have no position', async () => {
    const reading = (state: number, id: number): string => `${state} 0 ESPIPE ESPIPE b'file ${id}' EBADF`;
    const { lines } = await runCase('streams');
    assert.deepEqual(lines, [
      reading(3, 0), '4 1 ESPIPE ESPIPE EBADF 1', reading(6, 2), reading(7, 3), 'EINVAL EINVAL EINVAL EFAULT',
    ]);
  });

  test('what fails, fails as without a supervisor: probes, other files, no number left', async () => {
    const { lines, lab } = await runCase('failures');
    assert.deepEqual(lines, ['4', 'ENOTTY EBADF', 'EMFILE']);
    assert.deepEqual([lab.given, lab.released.length], [2, 2]);
  });

  test('a file lives as long as any copy of its descriptor', async () => {
    await withLab(async (lab, mount) => {
      const client = supervised(mount.dir, 'copies');
      await client.says('copied');
      assert.deepEqual(lab.released, []);
      client.write('\n');
      await client.says('closed');
      await until('released', () => lab.released.length === 1);
      client.write('\n');
      assert.equal((await client.done).stdout, 'copied\nfile 0\nclosed\n');
    });
  });

  test('a forked child keeps the file when its parent has ended', async () => {
    await withLab(async (lab, mount) => {
      const client = supervised(mount.dir, 'forked');
      await new Promise((resolve) => client.process.once('exit', resolve));
      await sleep(100);
      assert.deepEqual(lab.released, []);
      const [, child] = /^stopped (\d+)\n$/.exec(client.stdout) ?? [];
      process.kill(Number(child), 'SIGCONT');
      assert.match((await client.done).stdout, /\nfile 0\n$/);
      await nothingLeft(mount, lab);
    });
  });

  test('a descriptor that is passed on outlives the sender\'s, also on the way', async () => {
    await withLab(async (lab, mount) => {
      const client = supervised(mount.dir, 'passed');
      await client.says('sent');
      await sleep(100);
      assert.deepEqual(lab.released, []);
      client.write('\n');
      assert.equal((await client.done).stdout, 'sent\nfile 0\n');
      await nothingLeft(mount, lab);
    });
  });

  test('execve closes it', async () => {
    await withLab(async (lab, mount) => {
      const client = supervised(mount.dir, 'executed');
      await client.says('given True');
      assert.deepEqual(lab.released, []);
      client.write('\n');
      await client.says('executed');
      await until('released', () => lab.released.length === 1);
      client.write('\n');
      assert.equal((await client.done).stdout, 'given True\nexecuted\n0\n');
    });
  });

  test('signals that come meanwhile repeat nothing', async () => {
    const { lines, lab } = await runCase('signals');
    assert.deepEqual(lines, ['True True']);
    assert.equal(lab.given, 100, 'EINTR only where the ioctl has not begun');
  });

  test('many threads ask at the same time', async () => {
    assert.deepEqual((await runCase('threads')).lines, ['400 True']);
  });

  test('threads that ask are ended by an execve of another one: nothing hangs, nothing is left', async () => {
    assert.deepEqual((await runCase('exec_while_given')).lines, new Array(30).fill('0'));
  });

  test('who is killed while the ioctl runs leaves nothing', async () => {
    await withLab(async (lab, mount) => {
      lab.slow = true;
      const client = supervised(mount.dir, 'waiting');
      await client.says('asking');
      await until('asked', () => lab.asked === 1);
      client.process.kill('SIGKILL');
      assert.equal((await client.done).signal, 'SIGKILL');
      await nothingLeft(mount, lab);
    });
  });

  test('an unmount while the ioctl runs ends it', async () => {
    await withLab(async (lab, mount) => {
      lab.slow = true;
      const client = supervised(mount.dir, 'waiting');
      await client.says('asking');
      await until('asked', () => lab.asked === 1);
      await mount.unmount();
      assert.match((await client.done).stdout, /^asking\n(ENOSYS|ENOTCONN|ENODEV)\n$/);
    });
  });

  test('what is offered to the server must be a listener', async () => {
    await withLab(async (_lab, { dir, stats }) => {
      const { stderr } = await sh(`cat ${dir}/.slots/listener-0; cat ${dir}/.slots/listener-99; cat ${dir}/.slots/listener-`);
      assert.match(stderr, /Invalid argument\n[^\n]*Bad file descriptor\n[^\n]*No such file or directory\n$/);
      assert.match((await sh(`exec 9<${dir}/device; cat ${dir}/.slots/listener-9`)).stderr, /Invalid argument/);
      assert.equal(stats().listeners, 0);
    });
  });
});
