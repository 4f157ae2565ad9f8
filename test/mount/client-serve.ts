/** A server to be killed: /slow never answers. */
import { Tree } from '../../src/kernfs/tree.js';
import { mountTree } from '../../mount/mount.js';

const tree = new Tree();
tree.addFile(tree.root, 'slow', 0o444, () => ({
  kind: 'slow',
  read: () => {
    console.log('slow');
    return new Promise<Uint8Array>(() => undefined);
  },
  release: () => undefined,
}));
await mountTree(tree, process.argv[2] ?? '');
console.log('ready');
