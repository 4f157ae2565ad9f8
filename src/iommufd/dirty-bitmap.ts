/**
 * A DirtyLog written into the bitmap of a client, bit 0 for the first page of the range.
 *
 * iommufd and DMA logging only ever set bits (drivers/iommu/iommufd/iova_bitmap.c: iova_bitmap_set()), so untouched ranges cost
 * nothing, and what is written is only what is dirty: the whole bitmap of 8 TiB would have 256 MiB. (Type1 copies all of it out,
 * zeros included: vfio/type1-dirty.ts.) Beyond YIELD_BYTES other requests get their turn in between.
 */
import { Errno } from '../abi/errno.js';
import type { CallerMemory } from '../kernfs/caller.js';
import type { Awaitable } from '../kernfs/file.js';
import { IOVA_MAX } from './iova-map.js';
import type { DirtyLog } from './dirty-log.js';

export interface DirtyBitmapTarget {
  readonly memory: CallerMemory;
  /** Address of the bitmap in the client. */
  readonly address: bigint;
  /** First address of the range. */
  readonly iova: bigint;
  /** Bytes in the range, more than 0. */
  readonly length: bigint;
  /** log2 of the bytes that one bit stands for. */
  readonly pageShift: number;
}

export interface DirtyBitmapOptions {
  /** Forget what was reported. A page is forgotten only after its bit has reached the client. */
  readonly clear: boolean;
}

/** Bitmap bytes read and written at once. */
const WRITE_BYTES = 1 << 20;
/** Bitmap bytes after which other requests get their turn. */
const YIELD_BYTES = 4 << 20;

/** Bytes of the bitmap, rounded up to whole ones. */
function bitmapBytes(target: DirtyBitmapTarget): bigint {
  const pages = (target.length + (1n << BigInt(target.pageShift)) - 1n) >> BigInt(target.pageShift);
  return (pages + 7n) / 8n;
}

/**
 * Sets the bits of dirty pages and leaves all other bytes alone. Throws EFAULT when a needed byte, or the first or last
 * byte of the bitmap, is not there.
 */
export function mergeDirtyBitmap(log: DirtyLog, target: DirtyBitmapTarget, options: DirtyBitmapOptions): Awaitable<void> {
  const bytes = bitmapBytes(target);
  if (target.address + bytes - 1n > IOVA_MAX) throw new Errno('EFAULT', 'bitmap wraps');
  target.memory.read(target.address, 1);
  if (bytes > 1n) target.memory.read(target.address + bytes - 1n, 1);
  const shift = BigInt(target.pageShift);
  const parts = log.windows(target.iova, target.length).flatMap((window) => cut(window, target, shift));
  let next = 0;
  const step = (): void => {
    for (let bytes = 0; bytes < WRITE_BYTES; next++) {
      const part = parts[next];
      if (part === undefined) return;
      const firstByte = part.iova - target.iova >> shift + 3n;
      const lastByte = part.iova + part.length - 1n - target.iova >> shift + 3n;
      const bits = target.memory.read(target.address + firstByte, Number(lastByte - firstByte + 1n)).slice();
      const base = target.iova + (firstByte << shift + 3n);
      log.forEach(part.iova, part.length, (at, length) => setBits(bits, at - base, length, shift));
      target.memory.write(target.address + firstByte, bits);
      if (options.clear) log.clear(part.iova, part.length);
      bytes += bits.length;
    }
  };
  return inSteps(() => next < parts.length, step);
}

/** The part of a window that is in the target's range, in pieces of at most WRITE_BYTES of bitmap. */
function cut(window: { iova: bigint; length: bigint }, target: DirtyBitmapTarget, shift: bigint): { iova: bigint; length: bigint }[] {
  const [end, limit] = [window.iova + window.length, target.iova + target.length];
  const last = end < limit ? end : limit;
  const span = BigInt(WRITE_BYTES) * 8n << shift;
  const parts: { iova: bigint; length: bigint }[] = [];
  for (let iova = window.iova > target.iova ? window.iova : target.iova; iova < last;) {
    const boundary = target.iova + ((iova - target.iova) / span + 1n) * span;
    const next = boundary < last ? boundary : last;
    parts.push({ iova, length: next - iova });
    iova = next;
  }
  return parts;
}

/** Sets the bit of each page that has a byte in [offset, offset + length); offsets count from the bitmap's first page. */
function setBits(bits: Uint8Array, offset: bigint, length: bigint, shift: bigint): void {
  const first = offset < 0n ? 0 : Number(offset >> shift);
  const last = Math.min(Number(offset + length - 1n >> shift), bits.length * 8 - 1);
  for (let bit = first; bit <= last;) {
    if ((bit & 7) === 0 && bit + 7 <= last) {
      const whole = bit + (last - bit + 1 & ~7);
      bits.fill(0xff, bit >>> 3, whole >>> 3);
      bit = whole;
    } else {
      bits[bit >>> 3] = (bits[bit >>> 3] ?? 0) | 1 << (bit & 7);
      bit++;
    }
  }
}

const STEPS_PER_TURN = YIELD_BYTES / WRITE_BYTES;

/** Runs `step` while there is more, synchronously for the first few, then with a turn of the event loop between. */
function inSteps(more: () => boolean, step: () => void): Awaitable<void> {
  for (let n = 0; n < STEPS_PER_TURN && more(); n++) step();
  return more() ? later(more, step) : undefined;
}

async function later(more: () => boolean, step: () => void): Promise<void> {
  while (more()) {
    await new Promise((resolve) => setImmediate(resolve));
    for (let n = 0; n < STEPS_PER_TURN && more(); n++) step();
  }
}
