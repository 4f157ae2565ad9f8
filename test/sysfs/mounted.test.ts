/** Attribute files through a real mount: what only shows with other processes and the kernel in between. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Mount } from '../../mount/mount.js';
import { mountTree } from '../../mount/mount.js';
import type { LazyDir } from '../../src/device/lazy-dir.js';
import { interruptible } from '../../src/kernfs/interrupt.js';
import { Tree } from '../../src/kernfs/tree.js';
import { bind, callAsync } from '../../src/sys/libc.js';
import { ro, rw, wo } from '../../src/sysfs/attribute.js';
import type { Attribute } from '../../src/sysfs/attribute.js';
import { bindGroup } from '../../src/sysfs/group.js';
import { attachGroups, Gate } from '../kernfs/fixture.js';

const cPoll = bind('poll', 'int', ['pointer', 'ulong', 'int']);
const POLLPRI = 2;
/** Longest wait of one poll(2), ms: ends a test that would hang, and is never reached. */
const POLL_LIMIT = 10_000;

/** poll(2) for POLLPRI on a worker thread: the events that came. */
async function pollPri(fd: number): Promise<number> {
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, POLLPRI, true);
  await callAsync('poll', cPoll, new Uint8Array(pollfd.buffer), 1, POLL_LIMIT);
  return pollfd.getInt16(6, true);
}

const missing = !existsSync('/dev/fuse') || process.getuid?.() !== 0 ? 'needs root and /dev/fuse' : false;

describe('attributes through a mount', { skip: missing, timeout: 30_000 }, () => {
  let dir = '';
  let tree: Tree;
  let mount: Mount;
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'mdevsim-sysfs-'));
    tree = new Tree();
    mount = await mountTree(tree, dir);
  });
  after(async () => {
    await mount.unmount();
    rmSync(dir, { recursive: true });
  });

  const device = (name: string, ...attributes: Attribute<undefined>[]): LazyDir =>
    attachGroups(tree.root, name, [bindGroup(undefined, attributes)]);

  it('a writer that is killed in a slow store interrupts it, and the store may leave everything as it was', async () => {
    const entered = new Gate();
    const ended = new Gate();
    const seen: string[] = [];
    device('killed', wo('slow', async (_, __, { signal }) => {
      entered.open();
      try {
        await interruptible(new Promise<never>(() => undefined), signal);
        seen.push('done');
      } finally {
        seen.push('ended');
        ended.open();
      }
    }));
    const writer = spawn('sh', ['-c', `exec echo 1 > '${dir}/killed/slow'`], { stdio: 'ignore' });
    // dash's echo is built in: the shell itself is what hangs in write(2).
    const gone = once(writer, 'exit');
    await entered.opened;
    writer.kill('SIGKILL');
    await ended.opened;
    assert.deepEqual(seen, ['ended']);
    assert.deepEqual(await gone, [null, 'SIGKILL']);
    assert.equal(mount.stats().pending, 0);
  });

  it('a slow show holds up no other file and no other reader', async () => {
    const gate = new Gate();
    let shows = 0;
    device('slow', ro('a', () => (shows++ === 0 ? gate.opened.then(() => 'first\n') : 'second\n')), ro('b', () => 'b\n'));
    const first = readFile(join(dir, 'slow/a'), 'utf8');
    while (shows === 0) await new Promise(setImmediate);
    assert.equal(await readFile(join(dir, 'slow/b'), 'utf8'), 'b\n');
    assert.equal(await readFile(join(dir, 'slow/a'), 'utf8'), 'second\n');
    gate.open();
    assert.equal(await first, 'first\n');
  });

  it('poll(2) for POLLPRI sleeps until the attribute is notified, and again until it is removed', async () => {
    const kobject = device('poll', ro('a', () => '1\n'));
    const file = await open(join(dir, 'poll/a'));
    const news = 0xa;
    const read = async (): Promise<void> => void (await file.read(new Uint8Array(16), 0, 16, 0));
    assert.equal(await pollPri(file.fd), news, 'never read');
    await read();
    let woken = pollPri(file.fd);
    // Whether the notice comes before the poller sleeps or after, it is seen.
    kobject.notify('a');
    assert.equal(await woken, news);
    await read();
    woken = pollPri(file.fd);
    void tree.remove(kobject);
    assert.equal(await woken, news);
    await file.close();
  });

  it('removal waits for a reader; the name can be used again at once and the new file is seen', async () => {
    const gate = new Gate();
    let shows = 0;
    const old = device('again', ro('a', () => (shows++, gate.opened.then(() => 'old\n'))));
    const before = await stat(join(dir, 'again'));
    const reading = readFile(join(dir, 'again/a'), 'utf8');
    while (shows === 0) await new Promise(setImmediate);
    let drained = false;
    const removal = tree.remove(old)?.then(() => { drained = true; });
    device('again', ro('a', () => 'new\n'));
    assert.equal(await readFile(join(dir, 'again/a'), 'utf8'), 'new\n');
    assert.notEqual((await stat(join(dir, 'again'))).ino, before.ino);
    assert.equal(drained, false);
    gate.open();
    assert.equal(await reading, 'old\n');
    await removal;
  });

  it('a store sees all that one write(2) wrote', async () => {
    const stored: string[] = [];
    device('store', rw('a', () => stored.join(), (_, data) => void stored.push(Buffer.from(data).toString())));
    await writeFile(join(dir, 'store/a'), 'one two\n');
    assert.deepEqual(stored, ['one two\n']);
    assert.equal(await readFile(join(dir, 'store/a'), 'utf8'), 'one two\n');
  });
});
