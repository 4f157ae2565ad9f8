/** The kernfs contract on the nodes themselves. */
import { Errno } from '../../src/abi/errno.js';
import { Dir } from '../../src/kernfs/dir.js';
import { FileNode } from '../../src/kernfs/file-node.js';
import type { Node } from '../../src/kernfs/node.js';
import { DirReader } from '../../src/kernfs/readdir.js';
import { Symlink } from '../../src/kernfs/symlink.js';
import { fakeRequest } from '../fakes/caller.js';
import type { ContractFile } from './contract.js';
import { kernfsContract } from './contract.js';

kernfsContract('in memory', ({ tree }) => {
  const find = (path: string): Node => {
    const node = tree.root.find(path);
    if (node === undefined) throw new Errno('ENOENT');
    return node;
  };
  const open = async (path: string, flags: number): Promise<ContractFile> => {
    const node = find(path);
    if (!(node instanceof FileNode)) throw new Errno('EISDIR');
    const file = await node.open(fakeRequest(undefined, flags));
    return {
      read: async (size, offset) => Uint8Array.from((await file.read?.(fakeRequest(), offset, size)) ?? []),
      write: async (data, offset) => (await file.write?.(fakeRequest(), offset, data)) ?? 0,
      close: async () => {
        await file.release();
      },
    };
  };
  return Promise.resolve({
    open,
    stat: (path) => Promise.resolve().then(() => find(path).stat()),
    readdir: (path) =>
      Promise.resolve().then(() => {
        const dir = find(path);
        if (!(dir instanceof Dir)) throw new Errno('ENOTDIR');
        return [...new DirReader(dir).from(2)].map(({ name }) => name);
      }),
    readlink: (path) =>
      Promise.resolve().then(() => {
        const link = find(path);
        if (!(link instanceof Symlink)) throw new Errno('EINVAL');
        return link.target;
      }),
    chmod: (path, mode) => Promise.resolve(find(path).setAttributes({ mode })),
    chown: (path, uid, gid) => Promise.resolve(find(path).setAttributes({ uid, gid })),
    dispose: () => Promise.resolve(),
  });
});
