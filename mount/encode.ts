/** Payloads of replies that describe a node. All write into a Uint32Array at a word index. */
import type { Node, NodeKind } from '../src/kernfs/node.js';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../src/kernfs/node.js';
import { fuse_attr, fuse_attr_out, fuse_entry_out, words } from './fuse-abi.js';

/** How long the kernel may keep names and attributes, seconds. We tell it when they change (notify.ts). */
export const LONG = 1_000_000_000;
export const PAGE_SIZE = 4096;
const TWO_32 = 0x1_0000_0000;

const ATTR = words(fuse_attr);
const ENTRY = words(fuse_entry_out);
const ATTR_OUT = words(fuse_attr_out);
const TYPE_SHIFT = 12;
const DT: Record<NodeKind, number> = { dir: S_IFDIR >> TYPE_SHIFT, file: S_IFREG >> TYPE_SHIFT, symlink: S_IFLNK >> TYPE_SHIFT };

/** d_type of a kind of node. */
export const direntType = (kind: NodeKind): number => DT[kind];

/** A number up to 2^53 as two words. */
export function put64(out: Uint32Array, word: number, value: number): void {
  out[word] = value % TWO_32;
  out[word + 1] = Math.trunc(value / TWO_32);
}

const NS = 1_000_000_000n;

/** Seconds and nanoseconds of a time in ns; floors, so that times before 1970 come out right. */
export function splitTime(time: bigint): { seconds: bigint; nanoseconds: number } {
  const nanoseconds = ((time % NS) + NS) % NS;
  return { seconds: (time - nanoseconds) / NS, nanoseconds: Number(nanoseconds) };
}

function putTime(out: Uint32Array, secondsWord: number, nanosecondsWord: number, time: bigint): void {
  const { seconds, nanoseconds } = splitTime(time);
  const unsigned = BigInt.asUintN(64, seconds);
  out[secondsWord] = Number(unsigned & 0xffffffffn);
  out[secondsWord + 1] = Number(unsigned >> 32n);
  out[nanosecondsWord] = nanoseconds;
}

/** The user that the lab's files belong to while nobody called chown. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * How nodes look to clients. Inode numbers get an upper word that marks this lab, so that a number in /proc/<pid>/fdinfo belongs
 * to a file of ours or to none. What belongs to root belongs to the lab's owner: an ordinary user's lab would be of no use to
 * them if root's files in it were not theirs.
 */
export class ClientView {
  readonly #mark = 1 + Math.trunc(Math.random() * ((1 << 20) - 1));
  readonly #owner: Owner;

  constructor(owner: Owner = { uid: 0, gid: 0 }) {
    this.#owner = owner;
  }

  uid(uid: number): number {
    return uid === 0 ? this.#owner.uid : uid;
  }

  gid(gid: number): number {
    return gid === 0 ? this.#owner.gid : gid;
  }

  /** The upper word. */
  get high(): number {
    return this.#mark;
  }

  /** The number within the tree, or undefined when the inode is not of this lab. */
  inside(ino: number): number | undefined {
    return Math.trunc(ino / TWO_32) === this.#mark ? ino % TWO_32 : undefined;
  }

  outside(ino: number): number {
    return this.#mark * TWO_32 + ino;
  }
}

/** struct fuse_attr */
export function putAttr(out: Uint32Array, base: number, node: Node, view: ClientView): void {
  const stat = node.stat();
  out[base + ATTR.ino] = stat.ino;
  out[base + ATTR.ino + 1] = view.high;
  put64(out, base + ATTR.size, stat.size);
  put64(out, base + ATTR.blocks, stat.blocks);
  putTime(out, base + ATTR.atime, base + ATTR.atimensec, stat.atime);
  putTime(out, base + ATTR.mtime, base + ATTR.mtimensec, stat.mtime);
  putTime(out, base + ATTR.ctime, base + ATTR.ctimensec, stat.ctime);
  out[base + ATTR.mode] = stat.mode;
  out[base + ATTR.nlink] = stat.nlink;
  out[base + ATTR.uid] = view.uid(stat.uid);
  out[base + ATTR.gid] = view.gid(stat.gid);
  out[base + ATTR.rdev] = 0;
  out[base + ATTR.blksize] = PAGE_SIZE;
  out[base + ATTR.flags] = 0;
}

/** struct fuse_entry_out. `entrySeconds` is how long the name may be kept. */
export function putEntry(out: Uint32Array, base: number, node: Node, view: ClientView, entrySeconds: number): void {
  put64(out, base + ENTRY.nodeid, node.ino);
  put64(out, base + ENTRY.generation, 0);
  put64(out, base + ENTRY.entry_valid, entrySeconds);
  put64(out, base + ENTRY.attr_valid, LONG);
  out[base + ENTRY.entry_valid_nsec] = 0;
  out[base + ENTRY.attr_valid_nsec] = 0;
  putAttr(out, base + ENTRY.attr, node, view);
}

/** struct fuse_attr_out */
export function putAttrOut(out: Uint32Array, base: number, node: Node, view: ClientView): void {
  put64(out, base + ATTR_OUT.attr_valid, LONG);
  out[base + ATTR_OUT.attr_valid_nsec] = 0;
  out[base + ATTR_OUT.dummy] = 0;
  putAttr(out, base + ATTR_OUT.attr, node, view);
}
