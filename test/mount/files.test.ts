import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Errno } from '../../src/abi/errno.js';
import { createEventfd } from '../../src/sys/eventfd.js';
import { addressOf } from '../../src/sys/libc.js';
import { AdaptivePoll } from '../../mount/adaptive-poll.js';
import {
  FOPEN_DIRECT_IO, FOPEN_NOFLUSH, fuse_attr_out, fuse_interrupt_in, fuse_open_in, fuse_open_out, fuse_poll_out,
  fuse_read_in,
} from '../../mount/fuse-abi.js';
import { serve } from '../../mount/serve.js';
import { Session } from '../../mount/session.js';
import { FakeKernel } from '../fakes/channel.js';
import { cString, dirents, file, logged, makeRig, opcodeOf, text, treeWith, writtenSize } from './harness.js';

suite('callers', () => {
  test('pid rejects a caller that is not visible with EACCES, and the log says once what to change', async () => {
    const rig = await makeRig(treeWith(() => file({ ioctl: (request) => request.caller.pid })).tree);
    const fh = await rig.open('dir/file');
    const lines = await logged(async () => {
      assert.equal((await rig.ioctl(fh, 1, 0n, { pid: 0 })).error, 'EACCES');
      assert.equal((await rig.ioctl(fh, 1, 0n, { pid: 0 })).error, 'EACCES');
    });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /pid namespace/);
    rig.session.end('test');
  });

  test('memory and descriptors are those of the caller', async () => {
    const memory = Buffer.from('caller memory');
    using eventfd = createEventfd();
    const seen: unknown[] = [];
    const rig = await makeRig(treeWith(() => file({
      ioctl: (request, _command, argument) => {
        const { caller } = request;
        seen.push(caller.pid, text(caller.read(argument, 6)), text(caller.memory().read(argument + 7n, 6)));
        caller.write(argument, Buffer.from('C'));
        for (const wrong of [(): unknown => caller.read(8n, 1), (): unknown => caller.isEventfd(-1)]) {
          try { wrong(); } catch (error) { seen.push((error as Errno).code); }
        }
        const copy = caller.takeFd(eventfd.fd);
        for (const wrong of [0, 12345]) {
          try { caller.takeFd(wrong); } catch (error) { seen.push((error as Errno).code); }
        }
        seen.push(copy.fd > 0, caller.isEventfd(eventfd.fd), caller.isEventfd(0));
        copy.close();
        return 0;
      },
    })).tree);
    assert.equal((await rig.ioctl(await rig.open('dir/file'), 1, addressOf(memory))).error, '0');
    assert.deepEqual(seen, [process.pid, 'caller', 'memory', 'EFAULT', 'EBADF', 'EINVAL', 'EBADF', true, true, false]);
    assert.equal(memory.toString(), 'Caller memory');
    rig.session.end('test');
  });

  test('an ordinary user\'s lab belongs to that user', async () => {
    const kernel = new FakeKernel();
    const session = new Session(treeWith(() => file()).tree, kernel, { owner: { uid: 1000, gid: 100 } });
    serve(session, kernel, new AdaptivePoll({ window: 0 }));
    await kernel.init();
    const { attr } = fuse_attr_out.decode((await kernel.request(opcodeOf('GETATTR'), 1, new Uint8Array(16))).payload);
    assert.deepEqual([attr.uid, attr.gid], [1000, 100]);
    session.end('test');
  });
});

suite('open files', () => {
  test('OPEN gives direct I/O without flush; RELEASE releases once', async () => {
    let released = 0;
    const rig = await makeRig(treeWith(() => file({ release: () => { released++; } })).tree);
    const { payload } = await rig.call('OPEN', await rig.lookup('dir/file'), fuse_open_in.encode({ flags: 0 }));
    const { fh, open_flags } = fuse_open_out.decode(payload);
    assert.equal(open_flags & (FOPEN_DIRECT_IO | FOPEN_NOFLUSH), FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
    assert.equal((await rig.release(fh)).error, '0');
    await rig.release(fh);
    assert.equal(released, 1);
    rig.session.end('test');
    assert.equal(released, 1);
  });

  test('open() rejects O_DIRECT with EINVAL and releases the file', async () => {
    let released = 0;
    const rig = await makeRig(treeWith(() => file({ release: () => { released++; } })).tree);
    const O_DIRECT = process.arch === 'arm64' ? 0o200000 : 0o40000;
    const reply = await rig.call('OPEN', await rig.lookup('dir/file'), fuse_open_in.encode({ flags: O_DIRECT }));
    assert.equal(reply.error, 'EINVAL');
    assert.equal(released, 1);
    rig.session.end('test');
  });

  test('missing operations answer as a file_operations without them', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    const fh = await rig.open('dir/file');
    assert.equal((await rig.read(fh)).error, 'EINVAL');
    assert.equal((await rig.write(fh, 'x')).error, 'EINVAL');
    assert.equal((await rig.ioctl(fh, 0x3b64)).error, 'ENOTTY');
    assert.equal(fuse_poll_out.decode((await rig.poll(fh, 1n, 0)).payload).revents, 0x145);
    rig.session.end('test');
  });

  test('one WRITE is one write, with the file\'s flags and offset', async () => {
    const seen: unknown[] = [];
    const rig = await makeRig(treeWith(() => file({
      write: (request, offset, data) => {
        seen.push(offset, text(data), request.caller.tid);
        return data.length - 1;
      },
    })).tree);
    assert.equal(writtenSize(await rig.write(await rig.open('dir/file'), 'hello', 7)), 4);
    assert.deepEqual(seen, [7, 'hello', process.pid]);
    rig.session.end('test');
  });

  for (const size of [0, 100, 5000, 1 << 20]) {
    test(`READ of ${size} bytes`, async () => {
      const content = new Uint8Array(size).fill(7);
      const rig = await makeRig(treeWith(() => file({ read: () => content })).tree);
      assert.ok(Buffer.from(content).equals((await rig.read(await rig.open('dir/file'), 0, size)).payload));
      rig.session.end('test');
    });
  }

  test('INTERRUPT aborts the request\'s signal, and one that is over does nothing', async () => {
    const rig = await makeRig(treeWith(() => file({
      read: (request) => new Promise((_resolve, reject) => {
        request.signal.addEventListener('abort', () => reject(new Errno('EINTR')));
      }),
    })).tree);
    const fh = await rig.open('dir/file');
    const unique = rig.kernel.nextUnique;
    const reply = rig.read(fh);
    rig.kernel.post(opcodeOf('INTERRUPT'), 0, fuse_interrupt_in.encode({ unique }));
    assert.equal((await reply).error, 'EINTR');
    rig.kernel.post(opcodeOf('INTERRUPT'), 0, fuse_interrupt_in.encode({ unique }));
    rig.session.end('test');
  });

  test('a file is released after the operation that runs on it', async () => {
    const order: string[] = [];
    let finish: () => void = () => undefined;
    const rig = await makeRig(treeWith(() => file({
      read: () => new Promise((resolve) => { finish = (): void => { order.push('read'); resolve(new Uint8Array(0)); }; }),
      release: () => { order.push('release'); },
    })).tree);
    const fh = await rig.open('dir/file');
    const reply = rig.read(fh);
    await rig.release(fh);
    assert.deepEqual(order, []);
    finish();
    await reply;
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(order, ['read', 'release']);
    rig.session.end('test');
  });

  test('POLL with notice wakes once', async () => {
    const wakes: (() => void)[] = [];
    const rig = await makeRig(treeWith(() => file({
      poll: (_request, wake) => {
        if (wake !== undefined) wakes.push(wake);
        return 1;
      },
    })).tree);
    const fh = await rig.open('dir/file');
    assert.equal(fuse_poll_out.decode((await rig.poll(fh, 99n, 1)).payload).revents, 1);
    await rig.poll(fh, 99n, 1);
    assert.equal(wakes.length, 1, 'one wake-up is registered however often it is polled');
    wakes[0]?.();
    assert.deepEqual(rig.kernel.notices.map((notice) => notice.code), [1]);
    await rig.poll(fh, 99n, 1);
    assert.equal(wakes.length, 2);
    await rig.release(fh);
    wakes[1]?.();
    assert.equal(rig.kernel.notices.length, 1, 'a released file wakes nobody');
    rig.session.end('test');
  });

  test('ioctl() gives ENOSYS as a result, not as a refusal of the request', async () => {
    const rig = await makeRig(treeWith(() => file({ ioctl: () => { throw new Errno('ENOSYS'); } })).tree);
    const reply = await rig.ioctl(await rig.open('dir/file'), 1);
    assert.equal(reply.error, '0');
    assert.equal(new DataView(reply.payload.buffer).getInt32(0, true), -38);
    rig.session.end('test');
  });
});

suite('removal', () => {
  test('INVAL_ENTRY is sent for a name the kernel holds, and a WRITE that removed waits for it', async () => {
    const { tree, dir } = treeWith(() => file());
    tree.addFile(tree.root, 'remove', 0o200, () => file({
      write: (_request, _offset, data) => {
        void tree.remove(dir);
        return data.length;
      },
    }));
    const rig = await makeRig(tree);
    const nodeid = await rig.lookup('dir');
    const child = await rig.lookup('dir/file');
    let open: () => void = () => undefined;
    rig.kernel.noticeGate = new Promise((resolve) => { open = resolve; });
    let answered = false;
    const reply = rig.write(await rig.open('remove'), '1').then((done) => { answered = true; return done; });
    // Meanwhile a path that the kernel still has leads it to look again.
    assert.equal((await rig.call('OPEN', child, fuse_open_in.encode({}))).error, 'ESTALE');
    assert.equal((await rig.call('LOOKUP', nodeid, cString('file'))).error, 'ESTALE');
    assert.equal((await rig.call('GETATTR', child, new Uint8Array(16))).error, '0');
    assert.equal((await rig.call('LOOKUP', 1, cString('dir'))).error, 'ENOENT');
    assert.equal(answered, false);
    open();
    assert.equal(writtenSize(await reply), 1);
    const entry = rig.kernel.notices.find((notice) => notice.code === 3);
    assert.equal(text(entry?.payload.subarray(16) ?? new Uint8Array(0)), 'dir\0');
    assert.equal((await rig.call('OPEN', child, fuse_open_in.encode({}))).error, 'ENODEV');
    assert.equal((await rig.call('LOOKUP', nodeid, cString('file'))).error, 'ENOENT');
    rig.session.end('test');
  });

  test('a name that the kernel does not hold needs no notice', async () => {
    const { tree, dir } = treeWith(() => file());
    const rig = await makeRig(tree);
    void tree.remove(dir);
    assert.equal(rig.session.notices.pending, false);
    rig.session.end('test');
  });

  test('a node made again under the same name has another nodeid', async () => {
    const { tree, dir } = treeWith(() => file());
    const rig = await makeRig(tree);
    const before = await rig.lookup('dir');
    void tree.remove(dir);
    tree.root.addDir('dir');
    assert.notEqual(await rig.lookup('dir'), before);
    rig.session.end('test');
  });

  test('a removed directory lists . and ..', async () => {
    const { tree, dir } = treeWith(() => file());
    const rig = await makeRig(tree);
    const nodeid = await rig.lookup('dir');
    const { fh } = fuse_open_out.decode((await rig.call('OPENDIR', nodeid, fuse_open_in.encode({}))).payload);
    void tree.remove(dir);
    await rig.session.notices.settled();
    const reply = await rig.call('READDIR', nodeid, fuse_read_in.encode({ fh, size: 4096 }));
    assert.deepEqual(dirents(reply.payload).map((entry) => entry.name), ['.', '..']);
    rig.session.end('test');
  });
});
