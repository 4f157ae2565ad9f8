/**
 * Dir: a directory of the tree. Children are either attached nodes or, in subclasses, made at lookup from a declaration
 * (sysfs attributes, mount's slots): those override lookup(), entries() and `subdirectories`.
 */
import { Errno } from '../abi/errno.js';
import type { NodeKind } from './node.js';
import { Node } from './node.js';

/** `hash`: kernfs, by a hash of the name. `newest`: debugfs and devtmpfs (fs/libfs.c), the youngest first. */
export type DirOrder = 'hash' | 'newest';

export interface DirEntry {
  readonly name: string;
  readonly ino: number;
  readonly kind: NodeKind;
}

export class Dir extends Node {
  readonly #born = Date.now();
  /** Undefined while empty: most directories of a device never have an attached child. */
  #children: Map<string, Node> | undefined = undefined;
  #subdirectories = 0;
  readonly #mode: number;
  readonly #order: DirOrder;

  /** `ino` from Tree.allocateInos(). Most callers use addDir(). */
  constructor(ino: number, name: string, mode = 0o755, order: DirOrder = 'hash') {
    super(ino, name);
    this.#mode = mode;
    this.#order = order;
  }

  override get kind(): 'dir' {
    return 'dir';
  }
  override get defaultMode(): number {
    return this.#mode;
  }
  override get born(): number {
    return this.#born;
  }
  /** 2 + subdirectories, as in kernfs. */
  override get nlink(): number {
    return 2 + this.subdirectories;
  }
  /** Number of children that are directories. */
  get subdirectories(): number {
    return this.#subdirectories;
  }

  /** The order in which readdir lists the children; a subdirectory made by addDir() has it too. */
  get order(): DirOrder {
    return this.#order;
  }

  /** The child of that name; undefined where there is none (ENOENT), always in a removed directory. Makes lazy children. */
  lookup(name: string): Node | undefined {
    return this.removed ? undefined : this.#children?.get(name);
  }

  /** All children in no particular order; DirReader sorts them as the kernel does. Makes no lazy children. */
  entries(): DirEntry[] {
    return this.removed || this.#children === undefined ? [] : [...this.#children.values()];
  }

  /** The child at a path of several components, without following links. */
  find(path: string): Node | undefined {
    const step = (node: Node | undefined, name: string): Node | undefined => (node instanceof Dir ? node.lookup(name) : undefined);
    return path
      .split('/')
      .filter((part) => part !== '' && part !== '.')
      .reduce(step, this as Node | undefined);
  }

  /** Adds a node and tells the observer. Throws EEXIST when the name is taken, ENOENT when this directory is removed. */
  attach<T extends Node>(child: T): T {
    if (this.removed) throw new Errno('ENOENT', `${this.path} is removed`);
    if (this.lookup(child.name) !== undefined) throw new Errno('EEXIST', `${this.path}/${child.name}`);
    child.parent = this;
    this.#children ??= new Map();
    this.#children.set(child.name, child);
    if (child.kind === 'dir') this.#subdirectories++;
    this.tree.observer.attached?.(child);
    return child;
  }

  /** A new plain subdirectory. Throws EEXIST. */
  addDir(name: string, mode = 0o755, order: DirOrder = this.order): Dir {
    return this.attach(new Dir(this.tree.allocateInos(1), name, mode, order));
  }

  /** The plain subdirectory of that name, made when it is missing. Throws EEXIST when the name is no directory. */
  ensureDir(name: string): Dir {
    const child = this.lookup(name);
    if (child === undefined) return this.addDir(name);
    if (child instanceof Dir) return child;
    throw new Errno('EEXIST', `${this.path}/${name} is no directory`);
  }

  /** Takes a child out; only Tree.remove() calls it. */
  dropChild(child: Node): void {
    if (this.#children?.get(child.name) !== child) return;
    this.#children.delete(child.name);
    if (this.#children.size === 0) this.#children = undefined;
    if (child.kind === 'dir') this.#subdirectories--;
  }

  /** The children that exist as objects: those whose `removed` must be set when this directory goes. */
  liveChildren(): Iterable<Node> {
    return this.#children?.values() ?? [];
  }

  /** See Node.forgotten(). Attached children stay. */
  childForgotten(_child: Node): void {}
}
