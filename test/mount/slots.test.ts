import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { OpenFile } from '../../src/kernfs/file.js';
import { Tree } from '../../src/kernfs/tree.js';
import { setLogSink } from '../../src/trace/trace.js';
import type { Mount } from '../../mount/mount.js';
import { Client, noMounts, sh, tsClient, withMount } from './mounted.js';

const noPython = spawnSync('python3', ['--version']).status === 0 ? false : 'needs python3';

/** ioctl 0x3bf1 gives a new file; ioctl 0x3bf2 tells the id of the file behind a number of the caller. */
class Device implements OpenFile {
  readonly kind = 'device';
  readonly #lab: Lab;
  constructor(lab: Lab) {
    this.#lab = lab;
  }
  async ioctl(request: Parameters<NonNullable<OpenFile['ioctl']>>[0], command: number, argument: bigint): Promise<number> {
    if (command === 0x3bf1) {
      const file = this.#lab.make();
      const fd = request.caller.giveFd(file);
      this.#lab.given.push(file.id);
      return fd;
    }
    const file = await request.caller.fileOf(Number(argument));
    if (file === undefined) return 0;
    return file instanceof Given ? file.id : 1000 + this.#lab.devices.indexOf(file);
  }
  release(): void {
    this.#lab.devices.splice(this.#lab.devices.indexOf(this), 1);
  }
}

class Given implements OpenFile {
  readonly kind = 'given';
  readonly id: number;
  readonly #lab: Lab;
  constructor(lab: Lab, id: number) {
    this.#lab = lab;
    this.id = id;
  }
  read(): Uint8Array {
    return Buffer.from(`file ${this.id}`);
  }
  release(): void {
    this.#lab.released.push(this.id);
  }
}

class Lab {
  readonly tree = new Tree();
  readonly given: number[] = [];
  readonly released: number[] = [];
  readonly devices: OpenFile[] = [];
  #next = 1;
  constructor() {
    this.tree.addFile(this.tree.root, 'device', 0o666, () => {
      const device = new Device(this);
      this.devices.push(device);
      return device;
    });
  }
  make(): Given {
    return new Given(this, this.#next++);
  }
}

/** A client that answers one line per command. */
class SlotClient {
  readonly client: Client;
  #seen = 0;
  constructor(dir: string, first: number, count: number, ...more: string[]) {
    this.client = tsClient('client-slots.ts', [dir, String(first), String(count), ...more]);
  }
  async start(): Promise<this> {
    await this.client.says('ready');
    return this;
  }
  async ask(line: string): Promise<string> {
    const lines = (): string[] => this.client.stdout.split('\n').filter((text) => text.startsWith('= '));
    this.client.write(`${line}\n`);
    this.#seen++;
    while (lines().length < this.#seen) {
      const before = this.client.stdout.length;
      const more = new Promise<void>((resolve) => this.client.process.stdout?.once('data', () => resolve()));
      await Promise.race([more, this.client.done]);
      if (this.client.stdout.length === before && this.client.process.exitCode !== null) {
        throw new Error(`client ended: ${this.client.stderr}`);
      }
    }
    return lines()[this.#seen - 1]?.slice(2) ?? '';
  }
  async end(): Promise<void> {
    this.client.process.stdin?.end();
    await this.client.done;
  }
}

/** Reads a given file in one thread, and closes it in another one as soon as the read is under way. */
const READ_AND_CLOSE = `
import fcntl, os, sys, threading, time
lab = sys.argv[1]
slot = os.open(lab + '/.slots/600-x', os.O_RDWR)
os.dup2(slot, 600)
os.close(slot)
fd = fcntl.ioctl(os.open(lab + '/device', os.O_RDWR), 0x3bf1, 0)
reader = threading.Thread(target=lambda: print('read', os.read(fd, 64).decode(), flush=True))
reader.start()
def blocked():
    with open('/proc/self/task/%d/syscall' % reader.native_id) as file: return file.read().startswith('0 ')
while not blocked(): time.sleep(.01)
os.close(fd)
print('closed', flush=True)
`;

async function withLab(run: (lab: Lab, mount: Mount) => Promise<void>): Promise<void> {
  const lab = new Lab();
  await withMount(lab.tree, (mount) => run(lab, mount));
}

suite('slots', { skip: noMounts }, () => {
  test('a file is given at the first free slot, works there, and is released by close', async () => {
    await withLab(async (lab, { dir, stats }) => {
      const client = await new SlotClient(dir, 600, 2).start();
      assert.equal(await client.ask('get'), '600');
      assert.equal(await client.ask('get'), '601');
      assert.equal(await client.ask('get'), '-24', 'EMFILE without a free slot');
      assert.equal(await client.ask('read 601'), 'file 2');
      assert.equal(await client.ask('write 601'), '-22');
      assert.deepEqual(lab.released, []);
      await client.ask('close 600');
      assert.deepEqual(lab.released, [1], 'released before close() returns');
      assert.equal(await client.ask('read 601'), 'file 2');
      assert.equal(stats().boundSlots, 1);
      await client.end();
      assert.deepEqual(lab.released, [1, 2], 'the end of the process closes the rest');
    });
  });

  test('a file that is closed while it is read is released when the read has ended', { skip: noPython }, async () => {
    const seen: string[] = [];
    let closed: () => void = () => undefined;
    const wait = new Promise<void>((resolve) => { closed = resolve; });
    const slow: OpenFile = {
      kind: 'slow',
      read: async () => {
        seen.push('read');
        await wait;
        seen.push('end of read');
        return Buffer.from('all of it');
      },
      release: () => void seen.push('release'),
    };
    const tree = new Tree();
    tree.addFile(tree.root, 'device', 0o666, () => ({ kind: 'device', ioctl: ({ caller }) => caller.giveFd(slow), release: () => undefined }));
    await withMount(tree, async ({ dir, stats }) => {
      const client = new Client('python3', ['-c', READ_AND_CLOSE, dir]);
      await client.says('closed');
      assert.equal(stats().boundSlots, 0, 'the slot is free at once');
      closed();
      const { stdout, stderr } = await client.done;
      assert.match(stdout, /read all of it/, stderr);
    });
    assert.deepEqual(seen, ['read', 'end of read', 'release']);
  });

  test('a free slot answers EBADFD, and open() rejects the second time with ENXIO', async () => {
    await withLab(async (_lab, { dir }) => {
      const client = await new SlotClient(dir, 600, 1).start();
      assert.equal(await client.ask('read 600'), '-77');
      await client.end();
      const { stderr } = await sh(`exec 7<>${dir}/.slots/7-x; cat < ${dir}/.slots/7-x; cat ${dir}/.slots/other`);
      assert.match(stderr, /No such device or address[^]*No such file/i);
    });
  });

  test('a file lives while the client has any descriptor of it', async () => {
    await withLab(async (lab, { dir }) => {
      const client = await new SlotClient(dir, 600, 1).start();
      await client.ask('get');
      await client.ask('dup 600 77');
      await client.ask('close 600');
      assert.deepEqual(lab.released, []);
      assert.equal(await client.ask('read 77'), 'file 1');
      await client.ask('close 77');
      assert.deepEqual(lab.released, [1]);
      await client.end();
    });
  });

  test('copies in child processes do not keep a file, nor does a child\'s close release it', async () => {
    await withLab(async (lab, { dir }) => {
      const client = await new SlotClient(dir, 600, 2).start();
      await client.ask('get');
      assert.equal(await client.ask('child'), 'done');
      assert.deepEqual(lab.released, []);
      assert.equal(await client.ask('read 600'), 'file 1');
      await client.end();
      assert.deepEqual(lab.released, [1]);
    });
  });

  test('two clients have their own slots at the same numbers', async () => {
    await withLab(async (lab, { dir }) => {
      const [one, two] = await Promise.all([new SlotClient(dir, 600, 1).start(), new SlotClient(dir, 600, 1).start()]);
      assert.equal(await one.ask('get'), '600');
      assert.equal(await two.ask('get'), '600');
      assert.equal(await one.ask('read 600'), 'file 1');
      assert.equal(await two.ask('read 600'), 'file 2');
      one.client.process.kill('SIGKILL');
      await one.client.done;
      assert.deepEqual(lab.released, [1]);
      await two.end();
    });
  });

  test('fileOf() tells files apart: given ones, devices opened twice, others', async () => {
    await withLab(async (_lab, { dir, stats }) => {
      const client = await new SlotClient(dir, 600, 2).start();
      await client.ask('get');
      assert.equal(await client.ask('which 600'), '1');
      assert.equal(await client.ask('which 601'), '0', 'a free slot is nothing');
      assert.equal(await client.ask('which 0'), '0', 'stdin is not of the lab');
      assert.equal(await client.ask('which 9999'), '-1');
      const second = await client.ask('open');
      assert.equal(await client.ask(`which ${second}`), '1001', 'the second open file of the same inode');
      assert.equal(await client.ask(`which ${Number(second) - 1}`), '1000');
      const before = stats().handles;
      await client.ask(`which ${second}`);
      assert.equal(stats().handles, before, 'no copy is left');
      await client.end();
    });
  });

  test('a client without slots gets EMFILE, and one warning says what to do', async () => {
    const warnings: string[] = [];
    const former = setLogSink((event) => warnings.push(String(event.fields['message'])));
    try {
      await withLab(async (_lab, { dir }) => {
        const client = await new SlotClient(dir, 600, 0).start();
        assert.equal(await client.ask('get'), '-24');
        assert.equal(await client.ask('get'), '-24');
        await client.end();
      });
    } finally {
      setLogSink(former);
    }
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /EMFILE.*mdevsim run.*--slots/);
  });

  test('execve() with bound close-on-exec slots in parallel, other threads in requests: no deadlock', { skip: noPython }, async () => {
    await withLab(async (lab, { dir, stats }) => {
      const result = await new Client('python3', [join(import.meta.dirname, 'client-exec.py'), dir, '4', '15'], 60_000).done;
      assert.equal(result.stdout, 'all ended\n', result.stderr);
      assert.equal(lab.given.length, 4 * 60);
      // The last RELEASE messages are sent after the processes are gone.
      while (stats().slots > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.deepEqual([...lab.released].sort((a, b) => a - b), lab.given);
      assert.equal(stats().handles, 0);
    });
  });

  test('an epoll that waits for files of the lab, while others are given and closed: no deadlock', { skip: noPython }, async () => {
    await withLab(async (lab, { dir }) => {
      const result = await new Client('python3', [join(import.meta.dirname, 'client-epoll.py'), dir, '100'], 60_000).done;
      assert.equal(result.stdout, 'done\n', result.stderr);
      assert.equal(lab.given.length, 100);
      assert.deepEqual(lab.released, lab.given);
    });
  });
});
