import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Errno } from '../../src/abi/errno.js';
import type { ErrnoName } from '../../src/abi/errno.js';
import type { FileRequest, OpenFile } from '../../src/kernfs/file.js';
import type { Dir } from '../../src/kernfs/dir.js';
import { Tree } from '../../src/kernfs/tree.js';
import { setLogSink } from '../../src/trace/trace.js';
import {
  FOPEN_DIRECT_IO, FOPEN_NOFLUSH, fuse_attr_out, fuse_entry_out, fuse_forget_in, fuse_init_out, fuse_interrupt_in, fuse_mknod_in,
  fuse_open_in, fuse_open_out, fuse_poll_out, fuse_read_in, fuse_rename2_in, fuse_setattr_in, fuse_statx_out,
} from '../../mount/fuse-abi.js';
import { OPERATIONS } from '../../mount/opcodes.js';
import { cString, dirents, makeRig, opcodeOf, text, writtenSize } from './harness.js';

function file(operations: Partial<OpenFile> = {}): OpenFile {
  return { kind: 'test', release: () => undefined, ...operations };
}

/** A tree with /dir/file, whose open() gives the file, and /dir/link. */
function treeWith(make: (request: FileRequest) => OpenFile | Promise<OpenFile>): { tree: Tree; dir: Dir } {
  const tree = new Tree();
  const dir = tree.root.addDir('dir');
  tree.addFile(dir, 'file', 0o644, make);
  tree.addSymlink(dir, 'link', 'file');
  return { tree, dir };
}

/** Runs with the log collected instead of printed. */
async function logged(run: () => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  const former = setLogSink((event) => lines.push(`${event.level} ${String(event.fields['message'])} ${String(event.fields['error'])}`));
  try {
    await run();
  } finally {
    setLogSink(former);
  }
  return lines;
}

suite('INIT', () => {
  for (const [major, minor, expected] of [[7, 31, 31], [7, 38, 38], [7, 45, 41], [8, 0, 41]] as const) {
    test(`kernel ${major}.${minor}: 7.${expected}`, async () => {
      const { kernel, session } = await makeRig();
      const reply = fuse_init_out.decode((await kernel.init(major, minor)).payload);
      assert.deepEqual([reply.major, reply.minor], [7, expected]);
      session.end('test');
    });
  }

  test('init() rejects 7.30 with EPROTO and ends', async () => {
    const { kernel, session } = await makeRig();
    await kernel.init(7, 30);
    assert.match(await session.whenEnded, /7\.30.*7\.31/);
  });

  test('only flags that the kernel offered are switched on', async () => {
    const { kernel, session } = await makeRig();
    assert.equal(fuse_init_out.decode((await kernel.init(7, 41, 1 << 5)).payload).flags, 1 << 5);
    session.end('test');
  });
});

suite('every request', () => {
  test('each operation answers once, or never where its row says so', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    for (const { name, opcode, noReply } of OPERATIONS) {
      if (name === 'DESTROY' || name === 'INIT') continue;
      if (noReply === true) {
        rig.kernel.post(opcode, 1, new Uint8Array(256));
        continue;
      }
      const { error } = await rig.kernel.request(opcode, 1, new Uint8Array(256));
      assert.notEqual(error, 'EIO', name);
    }
    assert.equal(rig.kernel.unanswered, 0);
    assert.equal((await rig.call('DESTROY', 1)).error, '0');
    assert.equal(await rig.session.whenEnded, 'destroyed');
  });

  test('handle() rejects an unknown opcode with ENOSYS', async () => {
    const rig = await makeRig();
    for (const opcode of [0, 7, 31, 53, 4096, 0xffffffff]) assert.equal((await rig.kernel.request(opcode, 1)).error, 'ENOSYS', String(opcode));
    rig.session.end('test');
  });

  test('a nodeid that was never given out gets ESTALE', async () => {
    const rig = await makeRig();
    for (const name of ['LOOKUP', 'GETATTR', 'OPEN', 'OPENDIR', 'READLINK']) {
      assert.equal((await rig.call(name, 4711, cString('x'))).error, 'ESTALE', name);
    }
    rig.session.end('test');
  });

  test('a handle that was never given out gets EBADF', async () => {
    const rig = await makeRig();
    for (const name of ['READ', 'WRITE', 'IOCTL', 'POLL', 'FLUSH', 'READDIR']) {
      assert.equal((await rig.call(name, 1, new Uint8Array(80))).error, 'EBADF', name);
    }
    rig.session.end('test');
  });

  for (const when of ['at once', 'later'] as const) {
    test(`a handler that throws something unexpected ${when} gives EIO and a log line, and the next request is served`, async () => {
      const failing = file({
        read: (_request, offset) => {
          if (offset !== 0) return Buffer.from('fine');
          if (when === 'later') return Promise.reject(new TypeError('oops'));
          throw new TypeError('oops');
        },
      });
      const rig = await makeRig(treeWith(() => failing).tree);
      const fh = await rig.open('dir/file');
      const lines = await logged(async () => assert.equal((await rig.read(fh)).error, 'EIO'));
      assert.equal(lines.length, 1);
      assert.match(lines[0] ?? '', /^error .*oops/);
      assert.equal(text((await rig.read(fh, 1)).payload), 'fine');
      rig.session.end('test');
    });
  }

  test('a slow handler holds up nobody', async () => {
    let finish: (data: Uint8Array) => void = () => undefined;
    const slow = file({ read: (_request, offset) => (offset === 0 ? new Promise((resolve) => { finish = resolve; }) : Buffer.from('b')) });
    const rig = await makeRig(treeWith(() => slow).tree);
    const fh = await rig.open('dir/file');
    const first = rig.read(fh);
    assert.equal(text((await rig.read(fh, 1)).payload), 'b');
    assert.equal(rig.session.pendingCount, 1);
    finish(Buffer.from('a'));
    assert.equal(text((await first).payload), 'a');
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(rig.session.pendingCount, 0);
    rig.session.end('test');
  });
});

suite('names', () => {
  test('LOOKUP answers node, attributes and long timeouts; FORGET lets go', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    const { payload } = await rig.call('LOOKUP', 1, cString('dir'));
    const entry = fuse_entry_out.decode(payload);
    assert.equal(entry.attr.mode, 0o40755);
    assert.ok(entry.entry_valid > 1_000_000n && entry.attr_valid > 1_000_000n);
    await rig.call('LOOKUP', 1, cString('dir'));
    const nodeid = Number(entry.nodeid);
    rig.kernel.post(opcodeOf('FORGET'), nodeid, fuse_forget_in.encode({ nlookup: 1n }));
    assert.equal((await rig.call('GETATTR', nodeid, new Uint8Array(16))).error, '0');
    rig.kernel.post(opcodeOf('FORGET'), nodeid, fuse_forget_in.encode({ nlookup: 1n }));
    assert.equal((await rig.call('GETATTR', nodeid, new Uint8Array(16))).error, 'ESTALE');
    rig.session.end('test');
  });

  const body = (bytes: Uint8Array, ...names: string[]): Uint8Array => Buffer.concat([bytes, ...names.map(cString)]);
  const REFUSED: [string, Uint8Array, ErrnoName][] = [
    ['MKDIR', body(new Uint8Array(8), 'x'), 'EPERM'],
    ['SYMLINK', body(new Uint8Array(0), 'x', 'target'), 'EPERM'],
    ['UNLINK', body(new Uint8Array(0), 'file'), 'EPERM'],
    ['RMDIR', body(new Uint8Array(0), 'file'), 'EPERM'],
    ['LINK', body(new Uint8Array(8), 'x'), 'EPERM'],
    ['RENAME', body(new Uint8Array(8), 'file', 'x'), 'EPERM'],
    ['RENAME2', body(fuse_rename2_in.encode({}), 'file', 'x'), 'EPERM'],
    ['RENAME2', body(fuse_rename2_in.encode({ flags: 2 }), 'file', 'x'), 'EINVAL'],
    ['MKNOD', body(fuse_mknod_in.encode({ mode: 0o100644 }), 'x'), 'EACCES'],
    ['MKNOD', body(fuse_mknod_in.encode({ mode: 0o10644 }), 'x'), 'EPERM'],
    ['CREATE', body(new Uint8Array(16), 'x'), 'EACCES'],
    ['FALLOCATE', new Uint8Array(32), 'EOPNOTSUPP'],
    ['COPY_FILE_RANGE', new Uint8Array(56), 'EXDEV'],
    ['TMPFILE', body(new Uint8Array(16), 'x'), 'EOPNOTSUPP'],
    ['LOOKUP', cString('missing'), 'ENOENT'],
    ['LOOKUP', cString('n'.repeat(256)), 'ENOENT'],
  ];
  for (const [name, bytes, expected] of REFUSED) {
    test(`${name} is refused with ${expected}`, async () => {
      const rig = await makeRig(treeWith(() => file()).tree);
      assert.equal((await rig.call(name, await rig.lookup('dir'), bytes)).error, expected);
      rig.session.end('test');
    });
  }

  test('READLINK gives the target; on another kind EINVAL', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    assert.equal(text((await rig.call('READLINK', await rig.lookup('dir/link'))).payload), 'file');
    assert.equal((await rig.call('READLINK', await rig.lookup('dir/file'))).error, 'EINVAL');
    rig.session.end('test');
  });

  for (const plus of [false, true]) {
    test(`READDIR${plus ? 'PLUS' : ''} goes on where a small buffer ended`, async () => {
      const tree = new Tree();
      const dir = tree.root.addDir('dir');
      for (let i = 0; i < 50; i++) tree.addSymlink(dir, `entry-${i}`, 'x');
      const rig = await makeRig(tree);
      const nodeid = await rig.lookup('dir');
      const { fh } = fuse_open_out.decode((await rig.call('OPENDIR', nodeid, fuse_open_in.encode({}))).payload);
      const names: string[] = [];
      for (let offset = 0; ;) {
        const reply = await rig.call(plus ? 'READDIRPLUS' : 'READDIR', nodeid, fuse_read_in.encode({ fh, offset: BigInt(offset), size: 400 }));
        const part = dirents(reply.payload, plus);
        if (part.length === 0) break;
        names.push(...part.map((entry) => entry.name));
        offset = part.at(-1)?.off ?? 0;
      }
      assert.equal(names.length, 52);
      assert.equal(new Set(names).size, 52);
      assert.deepEqual(names.slice(0, 2), ['.', '..']);
      assert.equal(rig.session.inodes.size, plus ? 52 : 2);
      rig.session.end('test');
    });
  }
});

suite('attributes', () => {
  test('SETATTR changes mode, owner and times; a size is accepted and changes nothing', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    const nodeid = await rig.lookup('dir/file');
    const set = fuse_setattr_in.encode({ valid: 0b111111, size: 10n, mode: 0o100600, uid: 5, gid: 6, atime: 100n, mtime: 200n, mtimensec: 7 });
    const { attr } = fuse_attr_out.decode((await rig.call('SETATTR', nodeid, set)).payload);
    assert.deepEqual([attr.mode, attr.uid, attr.gid, attr.atime, attr.mtime, attr.mtimensec], [0o100600, 5, 6, 100n, 200n, 7]);
    assert.notEqual(attr.size, 10n);
    assert.deepEqual(rig.kernel.notices, [], 'the answer has the attributes: no notice');
    rig.session.end('test');
  });

  test('SETATTR rejects a size beyond 2^31-1 with EFBIG', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    const set = fuse_setattr_in.encode({ valid: 8, size: 1n << 31n });
    assert.equal((await rig.call('SETATTR', await rig.lookup('dir/file'), set)).error, 'EFBIG');
    rig.session.end('test');
  });

  test('STATX has no birth time', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    const { stat } = fuse_statx_out.decode((await rig.call('STATX', await rig.lookup('dir/file'), new Uint8Array(24))).payload);
    assert.equal(stat.mode, 0o100644);
    assert.equal(stat.mask & 0x800, 0);
    rig.session.end('test');
  });

  test('a change from within is told to the kernel', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    await rig.lookup('dir/file');
    rig.tree.root.find('dir/file')?.setAttributes({ mode: 0o600 });
    assert.deepEqual(rig.kernel.notices.map((notice) => notice.code), [2]);
    rig.session.end('test');
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
    assert.equal((await rig.call('OPEN', await rig.lookup('dir/file'), fuse_open_in.encode({ flags: O_DIRECT }))).error, 'EINVAL');
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

test('unmounting aborts what runs and releases every file', async () => {
  let released = 0;
  let aborted = false;
  const rig = await makeRig(treeWith(() => file({
    read: (request) => new Promise((_resolve, reject) => {
      request.signal.addEventListener('abort', () => { aborted = true; reject(new Errno('EINTR')); });
    }),
    release: () => { released++; },
  })).tree);
  const reply = rig.read(await rig.open('dir/file'));
  await rig.open('dir/file');
  rig.kernel.unmount();
  assert.equal(await rig.session.whenEnded, 'unmounted');
  await reply;
  assert.ok(aborted);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(released, 2);
  assert.equal(rig.session.inodes.size, 1);
});
