/**
 * Tree: one lab's nodes. Gives out inode numbers, removes subtrees and tells one observer (mount) what changed.
 *
 * Removal is fs/kernfs/dir.c: __kernfs_remove(): the nodes are gone for every new lookup at once; then the operations that
 * still run on them are waited for (kernfs_drain), except those that have broken their active protection.
 */
import { DEFAULT_PROFILE } from '../abi/kernel-profile.js';
import type { KernelProfile } from '../abi/kernel-profile.js';
import { ActiveReferences } from './active.js';
import { Dir } from './dir.js';
import type { OpenFunction } from './file-node.js';
import { SimpleFile } from './file-node.js';
import type { Node } from './node.js';
import { Symlink } from './symlink.js';

/** All calls are synchronous and before the change can be seen otherwise; mount queues its notices itself. */
export interface TreeObserver {
  attached?(node: Node): void;
  /** `node` (still with parent and name) is no longer in `parent`. Once per removal, for the top of the removed subtree. */
  detached?(node: Node, parent: Dir): void;
  /** Attributes changed, or a poll-able content change was announced. */
  changed?(node: Node): void;
}

class RootDir extends Dir {
  readonly #tree: Tree;

  constructor(tree: Tree) {
    super(1, '');
    this.#tree = tree;
  }
  override get tree(): Tree {
    return this.#tree;
  }
}

export class Tree {
  readonly root: Dir;
  /** Replaced by mount. */
  observer: TreeObserver = {};
  readonly active = new ActiveReferences();
  /** What files of this kernel version do. */
  readonly profile: KernelProfile;
  #nextIno = 2;

  constructor(profile: KernelProfile = DEFAULT_PROFILE) {
    this.profile = profile;
    this.root = new RootDir(this);
  }

  /** The first of `count` consecutive inode numbers; they are never given out again. */
  allocateInos(count: number): number {
    const first = this.#nextIno;
    this.#nextIno += count;
    return first;
  }

  addSymlink(parent: Dir, name: string, target: Node | string): Symlink {
    return parent.attach(new Symlink(this.allocateInos(1), name, target));
  }

  /** A file that is not an attribute: a device node. */
  addFile(parent: Dir, name: string, mode: number, open: OpenFunction): SimpleFile {
    return parent.attach(new SimpleFile(this.allocateInos(1), name, mode, open));
  }

  /**
   * Removes a node and everything below. It is out of the tree when this returns; the promise (undefined when there is
   * nothing to wait for) resolves when no operation runs on any of the nodes. A removed node may be removed again.
   */
  remove(node: Node): Promise<void> | undefined {
    const parent = node.parent;
    if (parent === undefined) throw new Error('the root cannot be removed');
    const nodes = [...subtree(node)];
    if (!node.removed) {
      parent.dropChild(node);
      for (const each of nodes) each.markRemoved();
      this.observer.detached?.(node, parent);
      if (this.profile.removedLinks === 'none') for (const each of nodes) this.observer.changed?.(each);
    }
    return this.active.drain(nodes);
  }
}

function* subtree(node: Node): Iterable<Node> {
  if (node instanceof Dir) for (const child of node.liveChildren()) yield* subtree(child);
  yield node;
}
