import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Errno } from '../../src/abi/errno.js';
import { fuse_init_out } from '../../mount/fuse-abi.js';
import { OPERATIONS } from '../../mount/opcodes.js';
import { cString, file, logged, makeRig, text, treeWith } from './harness.js';

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
    for (const opcode of [0, 7, 31, 53, 4096, 0xffffffff]) {
      assert.equal((await rig.kernel.request(opcode, 1)).error, 'ENOSYS', String(opcode));
    }
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
    test(`a handler that throws something unexpected ${when} gives EIO and a log line; the lab goes on`, async () => {
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
    const slow = file({
      read: (_request, offset) => (offset === 0 ? new Promise((resolve) => { finish = resolve; }) : Buffer.from('b')),
    });
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
