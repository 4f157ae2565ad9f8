/**
 * Guest RAM: one memfd, mapped, with a dirty bitmap of pages. Every write by this process goes through write() or markDirty().
 * What a device wrote is merged in by GuestMemory (memory.ts) from the IOMMU's and the device's logs.
 */
import type { MappedMemory } from '../../sys/memory.js';
import { createMemfd, punchHole, writtenRanges } from '../../sys/memory.js';

/** Bytes of a page. */
export const PAGE_SIZE = 4096;

/** A bitmap of whole words as words: the few loops over all of it run before they were ever compiled. */
export function wordsOf(bitmap: Uint8Array): Uint32Array {
  return new Uint32Array(bitmap.buffer, bitmap.byteOffset, bitmap.length / 4);
}

export class Ram {
  readonly #memory: MappedMemory;
  /** A bit per page, least significant first, whole 64-bit words as the uAPI's; bits are set only while tracking. */
  readonly dirty: Uint8Array;
  /** The same memory, for who looks at all of it. */
  readonly dirtyWords: Uint32Array;
  #tracking = false;

  /** `size` in bytes, a positive multiple of the page size. Throws RangeError, Errno. */
  constructor(readonly size: number) {
    if (size <= 0 || size % PAGE_SIZE !== 0) throw new RangeError(`RAM of ${size} bytes`);
    this.#memory = createMemfd('mdevsim-ram', size);
    this.dirty = new Uint8Array(Math.ceil(this.pages / 64) * 8);
    this.dirtyWords = wordsOf(this.dirty);
  }

  get pages(): number {
    return this.size / PAGE_SIZE;
  }
  /** The mapped memory. Whoever writes here directly calls markDirty(). */
  get bytes(): Uint8Array {
    return this.#memory.bytes;
  }
  /** Address in this process: what DMA maps name. */
  get address(): bigint {
    return this.#memory.address;
  }
  /** The memfd. */
  get fd(): number {
    return this.#memory.fd.fd;
  }

  get tracking(): boolean {
    return this.#tracking;
  }
  set tracking(on: boolean) {
    this.#tracking = on;
    if (!on) this.dirty.fill(0);
  }

  write(offset: number, data: Uint8Array): void {
    this.bytes.set(data, offset);
    this.markDirty(offset, data.length);
  }

  markDirty(offset: number, length: number): void {
    if (!this.#tracking || length === 0) return;
    const last = Math.floor((offset + length - 1) / PAGE_SIZE);
    for (let page = Math.floor(offset / PAGE_SIZE); page <= last; page++) {
      this.dirty[page >> 3] = (this.dirty[page >> 3] ?? 0) | 1 << (page & 7);
    }
  }

  /** The first page from `from` on that is dirty, or -1. Does not clear it. */
  nextDirty(from: number): number {
    for (let byte = from >> 3, mask = 0xff << (from & 7) & 0xff; byte < this.dirty.length; byte++, mask = 0xff) {
      const bits = (this.dirty[byte] ?? 0) & mask;
      if (bits !== 0) return byte * 8 + 31 - Math.clz32(bits & -bits);
    }
    return -1;
  }

  clearDirty(page: number): void {
    this.dirty[page >> 3] = (this.dirty[page >> 3] ?? 0) & ~(1 << (page & 7));
  }

  dirtyPages(): number {
    let count = 0;
    for (let bits of this.dirty) for (; bits !== 0; bits &= bits - 1) count++;
    return count;
  }

  /** Parts that were ever written, [start, end) in bytes; the rest is zero. */
  get written(): [number, number][] {
    return writtenRanges(this.fd, this.size);
  }
  /** Zeroes whole pages without touching them. */
  zero(page: number, count: number): void {
    punchHole(this.fd, page * PAGE_SIZE, count * PAGE_SIZE);
  }

  /** Unmaps it. Nothing may use `bytes` afterwards. */
  close(): void {
    this.#memory.close();
  }
}
