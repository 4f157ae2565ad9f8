/**
 * Node: what an inode is made from. Lives from being attached to a Dir until removal, and beyond it for as long as mount or
 * an open file holds it: `parent` and `name` stay as they were, so that paths and error answers still work.
 *
 * Mirrors fs/kernfs/inode.c: attributes that nobody changed take no memory (struct kernfs_iattrs is made on first change).
 */
import type { Dir } from './dir.js';
import type { Tree } from './tree.js';

export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

export type NodeKind = 'dir' | 'file' | 'symlink';

const TYPE_BITS: Record<NodeKind, number> = { dir: S_IFDIR, file: S_IFREG, symlink: S_IFLNK };

/** What chmod, chown and utimensat changed; times in ns since the epoch. */
export interface NodeAttributes {
  /** Permission bits, 0o7777. */
  mode: number;
  uid: number;
  gid: number;
  atime: bigint;
  mtime: bigint;
  ctime: bigint;
}

export interface NodeStat extends NodeAttributes {
  ino: number;
  /** With the type bits. */
  mode: number;
  nlink: number;
  /** Bytes. */
  size: number;
  /** 512-byte blocks. */
  blocks: number;
}

export abstract class Node {
  /** Unique for the lab's life: numbers are never used again. The root is 1. */
  readonly ino: number;
  readonly name: string;
  /** Undefined for the root and before attaching; kept after removal. */
  parent: Dir | undefined = undefined;
  #removed = false;
  /** Undefined until something was changed. */
  #changed: NodeAttributes | undefined = undefined;

  protected constructor(ino: number, name: string) {
    this.ino = ino;
    this.name = name;
  }

  abstract readonly kind: NodeKind;
  /** Permission bits while nobody called chmod. */
  abstract readonly defaultMode: number;

  get tree(): Tree {
    if (this.parent === undefined) throw new Error(`node ${this.name} is in no tree`);
    return this.parent.tree;
  }

  /** True for the whole subtree from the removal of any node above on. */
  get removed(): boolean {
    return this.#removed;
  }

  /** With the type bits, as st_mode. */
  get mode(): number {
    return TYPE_BITS[this.kind] | (this.#changed?.mode ?? this.defaultMode);
  }
  get uid(): number {
    return this.#changed?.uid ?? 0;
  }
  get gid(): number {
    return this.#changed?.gid ?? 0;
  }
  get nlink(): number {
    return 1;
  }
  /** Bytes. */
  get size(): number {
    return 0;
  }
  /** When the node came into being, ms since the epoch: its three times until something changes them. */
  get born(): number {
    return this.parent?.born ?? 0;
  }
  /** Whether attributes differ from the defaults, so that the node must not be let go and made again. */
  get changed(): boolean {
    return this.#changed !== undefined;
  }

  stat(): NodeStat {
    const { ino, mode, size } = this;
    const nlink = this.removed && this.tree.profile.removedLinks === 'none' ? 0 : this.nlink;
    return { ...this.#attributes(), ino, mode, nlink, size, blocks: 0 };
  }

  /** kernfs_iop_setattr: the given fields replace, the others stay; ctime becomes now where it is not given. */
  setAttributes(changes: Partial<NodeAttributes>): void {
    const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
    this.#changed = { ...this.#attributes(), ctime: BigInt(Date.now()) * 1_000_000n, ...given };
    this.#changed.mode &= 0o7777;
    this.tree.observer.changed?.(this);
  }

  /** Only Tree.remove() calls it, and subclasses that want to know. */
  markRemoved(): void {
    this.#removed = true;
  }

  /** Mount holds the node no longer (FORGET brought its count to 0). Directories drop what they can make again. */
  forgotten(): void {
    this.parent?.childForgotten(this);
  }

  /** From the root, `/sys/bus`; of a removed node the path it had. */
  get path(): string {
    return this.parent === undefined ? '' : `${this.parent.path}/${this.name}`;
  }

  #attributes(): NodeAttributes {
    if (this.#changed !== undefined) return this.#changed;
    const time = BigInt(Math.trunc(this.born)) * 1_000_000n;
    return { mode: this.defaultMode, uid: 0, gid: 0, atime: time, mtime: time, ctime: time };
  }
}
