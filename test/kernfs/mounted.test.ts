/** The kernfs contract through a real mount. File operations run on libuv's worker threads, never on the serving thread. */
import { existsSync } from 'node:fs';
import { chmod, chown, mkdtemp, open, opendir, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { mountTree } from '../../mount/mount.js';
import { bind, callAsync } from '../../src/sys/libc.js';
import { kernfsContract } from './contract.js';

const cPwrite = bind('pwrite', 'long', ['int', 'pointer', 'size', 'long']);

if (!existsSync('/dev/fuse') || process.getuid?.() !== 0) {
  it('kernfs contract: mounted', { skip: 'needs root and /dev/fuse' }, () => undefined);
} else {
  kernfsContract('mounted', async ({ tree }) => {
    const dir = await mkdtemp(join(tmpdir(), 'mdevsim-kernfs-'));
    const mount = await mountTree(tree, dir);
    const at = (path: string): string => join(dir, path);
    return {
      open: async (path, flags) => {
        const file = await open(at(path), flags);
        return {
          read: async (size, offset) => {
            const { bytesRead, buffer } = await file.read(new Uint8Array(size), 0, size, offset);
            return buffer.subarray(0, bytesRead);
          },
          // Not file.write(): libuv writes on after a short write.
          write: (data, offset) => callAsync('pwrite', cPwrite, file.fd, data, data.length, offset),
          close: () => file.close(),
        };
      },
      stat: (path) => stat(at(path)),
      readdir: async (path) => {
        // Not readdir(): libuv sorts its result.
        const names: string[] = [];
        for await (const { name } of await opendir(at(path))) names.push(name);
        return names;
      },
      readlink: (path) => readlink(at(path)),
      chmod: (path, mode) => chmod(at(path), mode),
      chown: (path, uid, gid) => chown(at(path), uid, gid),
      dispose: async () => {
        await mount.unmount();
        await rm(dir, { recursive: true });
      },
    };
  });
}
