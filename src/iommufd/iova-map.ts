/**
 * IovaMap: which client memory stands behind which range of I/O addresses. Used by the type1 container and by IOAS objects.
 *
 * A range is [iova, last], both ends inside: the last page of the 64-bit space is a range like any other. Ranges never
 * overlap; alignment, splitting and unmap rules are the user's. Look-up takes O(log n); a change moves at most CHUNK
 * entries besides. Addresses are bigint, 0 to 2^64-1.
 */
import { Errno } from '../abi/errno.js';
import type { CallerMemory } from '../kernfs/caller.js';

/** The device may read the memory. */
export const IOVA_READ = 1;
/** The device may write the memory. */
export const IOVA_WRITE = 2;

/** The highest address. */
export const IOVA_MAX = 0xffff_ffff_ffff_ffffn;

export interface IovaRange {
  readonly iova: bigint;
  /** The last address in the range. */
  readonly last: bigint;
}

export interface IovaMapping extends IovaRange {
  /** Whose memory; kept for as long as the mapping. */
  readonly memory: CallerMemory;
  /** Address of the first byte in that memory. */
  readonly vaddr: bigint;
  /** IOVA_READ and/or IOVA_WRITE. */
  readonly prot: number;
}

/** Bytes in a range; 2^64 for the whole space. */
export const lengthOf = (range: IovaRange): bigint => range.last - range.iova + 1n;

const CHUNK = 512;

export class IovaMap<M extends IovaRange = IovaMapping> {
  /** Sorted ranges, cut into sorted lists of 1 to CHUNK entries. */
  readonly #chunks: M[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The range that contains `iova`. */
  find(iova: bigint): M | undefined {
    const chunk = this.#chunks[this.#chunkFor(iova)];
    const found = chunk?.[upperBound(chunk, iova) - 1];
    return found !== undefined && found.last >= iova ? found : undefined;
  }

  /** Throws EEXIST where it overlaps one that is there. */
  insert(range: M): void {
    if (range.last < range.iova) throw new Errno('EINVAL', 'empty range');
    if (this.first(range.iova, range.last) !== undefined) throw new Errno('EEXIST');
    const index = this.#chunkFor(range.iova);
    const chunk = this.#chunks[index];
    this.#size++;
    if (chunk === undefined) {
      this.#chunks.push([range]);
      return;
    }
    chunk.splice(upperBound(chunk, range.iova), 0, range);
    if (chunk.length > CHUNK) this.#chunks.splice(index + 1, 0, chunk.splice(CHUNK / 2));
  }

  /** False when this very range is not in the map. */
  delete(range: M): boolean {
    const index = this.#chunkFor(range.iova);
    const chunk = this.#chunks[index];
    if (chunk === undefined) return false;
    const at = upperBound(chunk, range.iova) - 1;
    if (chunk[at] !== range) return false;
    chunk.splice(at, 1);
    if (chunk.length === 0) this.#chunks.splice(index, 1);
    this.#size--;
    return true;
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#size = 0;
  }

  /** The lowest range that has an address in [iova, last]. */
  first(iova: bigint, last: bigint): M | undefined {
    for (const range of this.#from(iova)) return range.iova <= last ? range : undefined;
    return undefined;
  }

  /** All ranges that have an address in [iova, last], ascending: a list of its own, so that the caller may delete them. */
  overlapping(iova: bigint, last: bigint): M[] {
    const found: M[] = [];
    for (const range of this.#from(iova)) {
      if (range.iova > last) break;
      found.push(range);
    }
    return found;
  }

  /** The ranges that together cover [iova, last] without a hole; undefined where there is one. */
  covering(iova: bigint, last: bigint): M[] | undefined {
    const found = this.overlapping(iova, last);
    let next = iova;
    for (const range of found) {
      if (range.iova > next) return undefined;
      next = range.last + 1n;
    }
    return next > last ? found : undefined;
  }

  /** All ranges, ascending. The map must not change meanwhile. */
  *values(): IterableIterator<M> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** The lowest address at or above `from` with `length` free bytes that ends at or below `last`. */
  firstGap(length: bigint, alignment: bigint, from: bigint, last: bigint): bigint | undefined {
    let start = alignUp(from, alignment);
    for (const range of this.#from(from)) {
      if (range.iova >= start + length) break;
      start = alignUp(range.last + 1n, alignment);
    }
    return start + length - 1n <= last ? start : undefined;
  }

  /** The last chunk that starts at or below `iova`, or the first one. */
  #chunkFor(iova: bigint): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle]?.[0]?.iova ?? 0n) <= iova) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  /** From the first range that ends at or after `iova`. */
  *#from(iova: bigint): Generator<M, void, undefined> {
    const start = this.#chunkFor(iova);
    for (let index = start; index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index] ?? [];
      let at = index === start ? Math.max(0, upperBound(chunk, iova) - 1) : 0;
      for (; at < chunk.length; at++) {
        const range = chunk[at];
        if (range !== undefined && range.last >= iova) yield range;
      }
    }
  }
}

export const alignUp = (value: bigint, alignment: bigint): bigint => (value + alignment - 1n) / alignment * alignment;

/** The number of ranges in the list that start at or below `iova`. */
function upperBound(list: readonly IovaRange[], iova: bigint): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle]?.iova ?? 0n) <= iova) low = middle + 1;
    else high = middle;
  }
  return low;
}
