import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ErrnoName } from '../../src/abi/errno.js';
import { Tree } from '../../src/kernfs/tree.js';
import { AdaptivePoll } from '../../mount/adaptive-poll.js';
import {
  FUSE_COMPAT_SETXATTR_IN_SIZE, FUSE_NOTIFY_INVAL_INODE, fuse_attr_out, fuse_entry_out, fuse_forget_in, fuse_getxattr_in,
  fuse_getxattr_out, fuse_mknod_in, fuse_open_in, fuse_open_out, fuse_read_in, fuse_rename2_in, fuse_setattr_in, fuse_setxattr_in,
  fuse_statx_out,
} from '../../mount/fuse-abi.js';
import { serve } from '../../mount/serve.js';
import { Session } from '../../mount/session.js';
import { FakeKernel } from '../fakes/channel.js';
import { cString, dirents, file, makeRig, opcodeOf, text, treeWith } from './harness.js';

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
        const body = fuse_read_in.encode({ fh, offset: BigInt(offset), size: 400 });
        const reply = await rig.call(plus ? 'READDIRPLUS' : 'READDIR', nodeid, body);
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
    const set = fuse_setattr_in.encode({
      valid: 0b111111, size: 10n, mode: 0o100600, uid: 5, gid: 6, atime: 100n, mtime: 200n, mtimensec: 7,
    });
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

  test('SETATTR takes any size in 7.2', async () => {
    const rig = await makeRig(treeWith(() => file(), '7.2').tree);
    const set = fuse_setattr_in.encode({ valid: 8, size: (1n << 63n) - 1n });
    assert.equal((await rig.call('SETATTR', await rig.lookup('dir/file'), set)).error, '0');
    rig.session.end('test');
  });

  for (const [kernel, links] of [['6.12', [2, 1]], ['7.2', [0, 0]]] as const) {
    test(`GETATTR of a removed directory and its file has ${links.join(' and ')} links in ${kernel}`, async () => {
      const { tree, dir } = treeWith(() => file(), kernel);
      const rig = await makeRig(tree);
      const nodeids = [await rig.lookup('dir'), await rig.lookup('dir/file')];
      void tree.remove(dir);
      const found = nodeids.map(async (id) => fuse_attr_out.decode((await rig.call('GETATTR', id, new Uint8Array(16))).payload).attr.nlink);
      assert.deepEqual(await Promise.all(found), links);
      const told = rig.kernel.notices.filter(({ code }) => code === FUSE_NOTIFY_INVAL_INODE).length;
      assert.equal(told >= nodeids.length, kernel === '7.2', 'the kernel asks again');
      rig.session.end('test');
    });
  }

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

suite('extended attributes', () => {
  const setBody = (name: string, value: string, flags = 0): Uint8Array => Buffer.concat([
    fuse_setxattr_in.encode({ size: value.length, flags }).subarray(0, FUSE_COMPAT_SETXATTR_IN_SIZE), cString(name),
    Buffer.from(value),
  ]);
  const getBody = (size: number, name = ''): Uint8Array => Buffer.concat([fuse_getxattr_in.encode({ size }), cString(name)]);

  test('security.* and trusted.* are kept, and listed from the last name on', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    const nodeid = await rig.lookup('dir/file');
    for (const name of ['security.a', 'trusted.b']) {
      assert.equal((await rig.call('SETXATTR', nodeid, setBody(name, 'value'))).error, '0');
    }
    assert.equal(text((await rig.call('GETXATTR', nodeid, getBody(100, 'security.a'))).payload), 'value');
    assert.equal(fuse_getxattr_out.decode((await rig.call('GETXATTR', nodeid, getBody(0, 'security.a'))).payload).size, 5);
    assert.equal((await rig.call('GETXATTR', nodeid, getBody(4, 'security.a'))).error, 'ERANGE');
    assert.equal(text((await rig.call('LISTXATTR', nodeid, getBody(100))).payload), 'trusted.b\0security.a\0');
    assert.equal((await rig.call('REMOVEXATTR', nodeid, cString('security.a'))).error, '0');
    assert.equal((await rig.call('REMOVEXATTR', nodeid, cString('security.a'))).error, 'ENODATA');
    rig.session.end('test');
  });

  test('LISTXATTR lists as they were set in 7.2', async () => {
    const rig = await makeRig(treeWith(() => file(), '7.2').tree);
    const nodeid = await rig.lookup('dir/file');
    for (const name of ['security.b', 'trusted.c', 'security.a']) await rig.call('SETXATTR', nodeid, setBody(name, 'value'));
    assert.equal(text((await rig.call('LISTXATTR', nodeid, getBody(100))).payload), 'security.b\0trusted.c\0security.a\0');
    rig.session.end('test');
  });

  const REJECTED: [string, number, ErrnoName][] = [
    ['user.x', 0, 'EOPNOTSUPP'], ['user.', 0, 'EINVAL'], ['system.posix_acl_access', 0, 'EOPNOTSUPP'], ['bogus', 0, 'EOPNOTSUPP'],
    ['security.x', 2, 'ENODATA'],
  ];
  for (const [name, flags, expected] of REJECTED) {
    test(`setxattr() rejects ${name} with flags ${flags} with ${expected}`, async () => {
      const rig = await makeRig(treeWith(() => file()).tree);
      assert.equal((await rig.call('SETXATTR', await rig.lookup('dir/file'), setBody(name, 'v', flags))).error, expected);
      rig.session.end('test');
    });
  }

  test('setxattr() rejects XATTR_CREATE of what exists with EEXIST', async () => {
    const rig = await makeRig(treeWith(() => file()).tree);
    const nodeid = await rig.lookup('dir/file');
    await rig.call('SETXATTR', nodeid, setBody('security.a', 'v'));
    assert.equal((await rig.call('SETXATTR', nodeid, setBody('security.a', 'v', 1))).error, 'EEXIST');
    rig.session.end('test');
  });

  test('a mount without them answers ENOSYS, after which the kernel asks no more', async () => {
    const kernel = new FakeKernel();
    const session = new Session(treeWith(() => file()).tree, kernel);
    serve(session, kernel, new AdaptivePoll({ window: 0 }));
    await kernel.init();
    for (const name of ['GETXATTR', 'SETXATTR', 'LISTXATTR', 'REMOVEXATTR']) {
      assert.equal((await kernel.request(opcodeOf(name), 1, getBody(0, 'security.capability'))).error, 'ENOSYS');
    }
    session.end('test');
  });
});
