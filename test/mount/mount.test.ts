import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { Errno } from '../../src/abi/errno.js';
import type { OpenFile } from '../../src/kernfs/file.js';
import { SimpleFile } from '../../src/kernfs/file-node.js';
import { Tree } from '../../src/kernfs/tree.js';
import { MountError, mountTree, umountLab } from '../../mount/mount.js';
import { isStale, labMountAt } from '../../mount/mountinfo.js';
import { Client, fdCount, noMounts, removeMountPoint, sh, temporaryDirectory, tsClient, withMount } from './mounted.js';

function file(operations: Partial<OpenFile> = {}): OpenFile {
  return { kind: 'test', release: () => undefined, ...operations };
}

/** /dir/file keeps what is written. */
function simpleTree(): Tree {
  const tree = new Tree();
  let content = Buffer.from('first\n');
  tree.addFile(tree.root.addDir('dir'), 'file', 0o644, () => file({
    read: (_request, offset, size) => content.subarray(offset, offset + size),
    write: (_request, _offset, data) => {
      content = Buffer.from(data);
      return data.length;
    },
  }));
  return tree;
}

/** A write behind the end of a file is one that makes it grow, and those the kernel lets in one by one. */
class PageSizedFile extends SimpleFile {
  override get size(): number {
    return 4096;
  }
}

suite('a mounted tree', { skip: noMounts }, () => {
  test('sh reads, writes and lists; errors arrive', async () => {
    await withMount(simpleTree(), async ({ dir }) => {
      const { stdout, stderr, code } = await sh(
        `cd ${dir} && ls -a && cat dir/file && echo second > dir/file && cat dir/file; mkdir dir/x; touch dir/y`);
      assert.equal(stdout, '.\n..\n.slots\ndir\nfirst\nsecond\n');
      assert.match(stderr, /Operation not permitted[^]*Permission denied/);
      assert.notEqual(code, 0);
    });
  });

  test('the mount is fuse.mdevsim with default_permissions, and allow_other for root', async () => {
    await withMount(simpleTree(), async ({ dir }) => {
      const line = readFileSync('/proc/self/mounts', 'utf8').split('\n').find((row) => row.includes(dir)) ?? '';
      assert.match(line, /^mdevsim \S+ fuse\.mdevsim .*default_permissions,allow_other/);
    });
  });

  test('mode bits hold for other users', async () => {
    const tree = simpleTree();
    tree.root.find('dir/file')?.setAttributes({ mode: 0o600 });
    await withMount(tree, async ({ dir }) => {
      const setpriv = `chmod 755 ${dir}; setpriv --reuid 1000 --clear-groups`;
      const { stderr } = await sh(`${setpriv} cat ${dir}/dir/file`);
      assert.match(stderr, /Permission denied/);
      assert.equal((await sh(`chmod 644 ${dir}/dir/file; ${setpriv} cat ${dir}/dir/file`)).stdout, 'first\n');
    });
  });

  test('a slow read holds up nobody, and a signal ends it', async () => {
    const tree = simpleTree();
    let waiting: () => void = () => undefined;
    const isWaiting = new Promise<void>((resolve) => { waiting = resolve; });
    let aborted: () => void = () => undefined;
    const isAborted = new Promise<void>((resolve) => { aborted = resolve; });
    tree.addFile(tree.root, 'slow', 0o444, () => file({
      read: (request) => new Promise((_resolve, reject) => {
        request.signal.addEventListener('abort', () => {
          reject(new Errno('EINTR'));
          aborted();
        });
        waiting();
      }),
    }));
    await withMount(tree, async ({ dir, stats }) => {
      const slow = new Client('cat', [`${dir}/slow`]);
      await isWaiting;
      assert.equal((await sh(`cat ${dir}/dir/file`)).stdout, 'first\n');
      assert.equal(stats().pending, 1);
      slow.process.kill('SIGTERM');
      await isAborted;
      assert.equal((await slow.done).signal, 'SIGTERM');
    });
  });

  test('a slow write holds up no other write to the same file', async () => {
    const tree = new Tree();
    let first: ((size: number) => void) | undefined;
    let waiting: () => void = () => undefined;
    const isWaiting = new Promise<void>((resolve) => { waiting = resolve; });
    const slow = file({
      write: (_request, _offset, data) => {
        if (first !== undefined) return data.length;
        return new Promise((resolve) => {
          first = resolve;
          waiting();
        });
      },
    });
    tree.root.attach(new PageSizedFile(tree.allocateInos(1), 'slow', 0o222, () => slow));
    await withMount(tree, async ({ dir }) => {
      const write = `printf x | dd of=${dir}/slow conv=notrunc status=none && echo written`;
      const client = new Client('sh', ['-c', write]);
      await isWaiting;
      assert.equal((await sh(write)).stdout, 'written\n');
      first?.(1);
      assert.equal((await client.done).stdout, 'written\n');
    });
  });

  test('a client killed with SIGKILL in a slow handler: the handler is told', async () => {
    const tree = simpleTree();
    let waiting: () => void = () => undefined;
    const isWaiting = new Promise<void>((resolve) => { waiting = resolve; });
    tree.addFile(tree.root, 'slow', 0o222, () => file({
      write: (request) => new Promise((_resolve, reject) => {
        request.signal.addEventListener('abort', () => reject(new Errno('EINTR')));
        waiting();
      }),
    }));
    await withMount(tree, async ({ dir, stats }) => {
      const slow = new Client('sh', ['-c', `echo 1 > ${dir}/slow`]);
      await isWaiting;
      slow.process.kill('SIGKILL');
      assert.equal((await slow.done).signal, 'SIGKILL');
      assert.equal((await sh(`cat ${dir}/dir/file`)).stdout, 'first\n');
      assert.equal(stats().pending, 0);
    });
  });

  test('a removed node is gone at once, and one made anew is seen at once', async () => {
    const tree = new Tree();
    let generation = 0;
    const make = (): void => {
      const text = Buffer.from(`generation ${++generation}\n`);
      const device = tree.root.addDir('device');
      const content = file({ read: (_request, offset, size) => text.subarray(offset, offset + size) });
      tree.addFile(device, 'attribute', 0o444, () => content);
    };
    make();
    tree.addFile(tree.root, 'again', 0o222, () => file({
      write: (_request, _offset, data) => {
        const device = tree.root.find('device');
        if (device !== undefined) void tree.remove(device);
        if (data[0] !== 0x30) make();
        return data.length;
      },
    }));
    await withMount(tree, async ({ dir }) => {
      const step = `echo 1 > again; read line < device/attribute; echo "$line"`;
      const { stdout, stderr } = await sh(
        `cd ${dir}; cat device/attribute; for i in 1 2 3 4 5 6 7 8 9; do ${step}; done; echo 0 > again; ls; stat device`);
      assert.deepEqual(stdout.split('\n').slice(0, 10), Array.from({ length: 10 }, (_, i) => `generation ${i + 1}`));
      assert.ok(!stdout.includes('device'));
      assert.match(stderr, /No such file/);
    });
  });

  test('the link count of a directory follows its subdirectories', async () => {
    const tree = simpleTree();
    await withMount(tree, async ({ dir }) => {
      const count = async (): Promise<string> => (await sh(`stat -c %h ${dir}/dir`)).stdout.trim();
      assert.equal(await count(), '2');
      const sub = (tree.root.find('dir') as ReturnType<typeof tree.root.addDir>).addDir('sub');
      assert.equal(await count(), '3');
      void tree.remove(sub);
      assert.equal(await count(), '2');
    });
  });

  test('poll wakes up a client', async () => {
    const tree = new Tree();
    let ready = false;
    let wake: (() => void) | undefined;
    let polled: () => void = () => undefined;
    const isPolled = new Promise<void>((resolve) => { polled = resolve; });
    tree.addFile(tree.root, 'pollable', 0o444, () => file({
      poll: (_request, notify) => {
        wake = notify ?? wake;
        if (notify !== undefined) polled();
        return ready ? 1 : 0;
      },
    }));
    await withMount(tree, async ({ dir }) => {
      const client = tsClient('client-poll.ts', [`${dir}/pollable`]);
      await isPolled;
      ready = true;
      wake?.();
      const { stdout, stderr } = await client.done;
      assert.equal(stdout, 'revents 1\n', stderr);
    });
  });

  test('mounting and unmounting leaves no descriptor', async () => {
    await withMount(simpleTree(), async ({ dir }) => void await sh(`cat ${dir}/dir/file`));
    const before = fdCount();
    for (let i = 0; i < 3; i++) await withMount(simpleTree(), async ({ dir }) => void await sh(`cat ${dir}/dir/file`));
    assert.equal(fdCount(), before);
  });

  test('unmount() releases what clients still hold and is idempotent', async () => {
    let released = 0;
    const tree = simpleTree();
    tree.addFile(tree.root, 'held', 0o444, () => file({ release: () => { released++; } }));
    const dir = temporaryDirectory();
    const mount = await mountTree(tree, dir);
    const client = new Client('sh', ['-c', `exec 3< ${dir}/held; echo open; read line; cat <&3`]);
    await client.says('open');
    await Promise.all([mount.unmount(), mount.unmount()]);
    await mount.unmount();
    assert.equal(await mount.ended, 'unmounted');
    assert.equal(released, 1);
    client.write('go on\n');
    assert.match((await client.done).stderr, /Transport endpoint|not connected|No such device/);
    removeMountPoint(dir);
  });

  test('unmounting in the middle of removals and lookups hangs nobody', async () => {
    for (let round = 0; round < 5; round++) {
      const tree = new Tree();
      const parent = tree.root.addDir('parent');
      const dir = temporaryDirectory();
      const mount = await mountTree(tree, dir);
      const look = `while ls -l ${dir}/parent/* ${dir}/parent; do :; done >/dev/null 2>&1`;
      const clients = [0, 1, 2].map(() => new Client('sh', ['-c', look]));
      for (let i = 0; i < 200; i++) {
        const child = parent.addDir(`child-${i % 7}`);
        tree.addFile(child, 'file', 0o444, () => file());
        await new Promise((resolve) => setImmediate(resolve));
        void tree.remove(child);
      }
      await mount.unmount();
      for (const client of clients) {
        client.process.kill('SIGTERM');
        await client.done;
      }
      removeMountPoint(dir);
    }
  });

  test('umount(8) by somebody else ends the session', async () => {
    const dir = temporaryDirectory();
    const mount = await mountTree(simpleTree(), dir);
    await sh(`umount ${dir}`);
    assert.equal(await mount.ended, 'unmounted');
    removeMountPoint(dir);
  });
});

suite('mountTree() and umountLab()', { skip: noMounts }, () => {
  test('mountTree() rejects a missing directory, a file, and a directory with a living lab', async () => {
    await assert.rejects(mountTree(new Tree(), '/nonexistent/x'), MountError);
    await assert.rejects(mountTree(new Tree(), '/nonexistent-lab'), MountError);
    await assert.rejects(mountTree(new Tree(), '/etc/hostname'), /no directory/);
    await withMount(simpleTree(), async ({ dir }) => {
      await assert.rejects(mountTree(new Tree(), dir), /already mounted.*mdevsim umount/);
    });
  });

  test('umountLab() rejects a directory without a lab, and unmounts a living one', async () => {
    await assert.rejects(umountLab('/tmp'), /no lab is mounted/);
    const dir = temporaryDirectory();
    const mount = await mountTree(simpleTree(), dir);
    await umountLab(dir);
    assert.equal(await mount.ended, 'unmounted');
    removeMountPoint(dir);
  });

  test('a server killed with SIGKILL: clients get an error, and the directory can be used again', async () => {
    const dir = temporaryDirectory();
    const server = tsClient('client-serve.ts', [dir]);
    try {
      await server.says('ready');
      const client = new Client('sh', ['-c', `cat ${dir}/slow; echo code $?`]);
      await server.says('slow');
      server.process.kill('SIGKILL');
      await server.done;
      assert.match((await client.done).stdout, /code 1/);
      assert.match((await sh(`ls ${dir}`)).stderr, /Transport endpoint is not connected/);
      assert.equal(await isStale(dir), true);
      const mount = await mountTree(simpleTree(), dir);
      assert.equal((await sh(`cat ${dir}/dir/file`)).stdout, 'first\n');
      await mount.unmount();
      assert.equal(labMountAt(dir), undefined);
    } finally {
      server.process.kill('SIGKILL');
      removeMountPoint(dir);
    }
  });

  test('umountLab() clears a stale mount away', async () => {
    const dir = temporaryDirectory();
    const server = tsClient('client-serve.ts', [dir]);
    try {
      await server.says('ready');
      server.process.kill('SIGKILL');
      await server.done;
      await umountLab(dir);
      assert.equal(labMountAt(dir), undefined);
    } finally {
      server.process.kill('SIGKILL');
      removeMountPoint(dir);
    }
  });
});
