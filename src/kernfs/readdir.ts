/**
 * Directory order and the state of one opendir(3). Mirrors fs/kernfs/dir.c: kernfs_name_hash() and kernfs_fop_readdir():
 * the order depends on the names alone.
 */
import type { Dir, DirEntry } from './dir.js';

const encoder = new TextEncoder();
/** GOLDEN_RATIO_64 (include/linux/hash.h) in two halves. */
const GOLDEN_HIGH = 0x61c88646;
const GOLDEN_LOW = 0x80b583eb;
/** 0 and 1 are "." and ".."; INT_MAX ends the directory. */
const INT_MAX = 0x7fffffff;

/** The upper 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle % 0x10000) + aLow * bHigh;
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000);
}

/** The kernel's hash of a name: a running sum in 64 bits (kept in two halves), folded by one multiplication; 2 to INT_MAX - 1. */
export function nameHash(name: string): number {
  let high = 0;
  let low = 0;
  for (const byte of encoder.encode(name)) {
    const sum = low + (byte << 4) + (byte >> 4);
    const product = (sum % 0x100000000) * 11;
    high = ((high + Math.floor(sum / 0x100000000)) * 11 + Math.floor(product / 0x100000000)) % 0x100000000;
    low = product % 0x100000000;
  }
  const folded = multiplyHigh(low, GOLDEN_LOW) + (Math.imul(high, GOLDEN_LOW) >>> 0) + (Math.imul(low, GOLDEN_HIGH) >>> 0);
  const hash = folded % 0x80000000;
  return Math.min(hash < 2 ? hash + 2 : hash, INT_MAX - 1);
}

/** The children of a directory in the order in which the kernel lists them, without "." and "..". */
export function orderedEntries(dir: Dir): readonly DirEntry[] {
  const entries = dir.entries();
  if (dir.order === 'newest') return entries.sort((a, b) => b.ino - a.ino);
  return entries
    .map((entry) => ({ entry, hash: nameHash(entry.name) }))
    .sort((a, b) => a.hash - b.hash || (a.entry.name < b.entry.name ? -1 : 1))
    .map(({ entry }) => entry);
}

export interface ReaddirEntry extends DirEntry {
  /** The offset that continues after this entry (d_off). */
  readonly next: number;
}

/** One open directory. It lists what was there when it was last read from the start (offset 0). */
export class DirReader {
  readonly dir: Dir;
  #snapshot: readonly DirEntry[] | undefined;

  constructor(dir: Dir) {
    this.dir = dir;
  }

  /** The entries from `offset` on, "." and ".." first. A removed directory has no others. */
  *from(offset: number): Generator<ReaddirEntry, void, undefined> {
    const { dir } = this;
    if (offset === 0 || this.#snapshot === undefined || dir.removed) this.#snapshot = dir.removed ? [] : orderedEntries(dir);
    if (offset <= 0) yield { name: '.', ino: dir.ino, kind: 'dir', next: 1 };
    if (offset <= 1) yield { name: '..', ino: (dir.parent ?? dir).ino, kind: 'dir', next: 2 };
    const snapshot = this.#snapshot;
    for (let at = Math.max(offset - 2, 0); at < snapshot.length; at++) {
      const entry = snapshot[at];
      if (entry !== undefined) yield { name: entry.name, ino: entry.ino, kind: entry.kind, next: at + 3 };
    }
  }
}
