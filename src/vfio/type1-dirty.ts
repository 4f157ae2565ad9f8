/**
 * Type1's dirty bitmap as the client gets it. drivers/vfio/vfio_iommu_type1.c: update_user_bitmap(), verify_bitmap_size().
 *
 * For each mapping whole 64-bit words are written, clean pages included; a word that two mappings share keeps the bits of the
 * first. Pages without a mapping are left alone. A huge mapping is written in pieces with turns of the event loop between.
 */
import { Errno } from '../abi/errno.js';
import { lowestBit } from '../abi/bitops.js';
import type { CallerMemory } from '../kernfs/caller.js';
import type { Awaitable } from '../kernfs/file.js';
import { isUserRange } from '../kernfs/uaccess.js';
import type { DirtyLog } from '../iommufd/dirty-log.js';
import { lengthOf } from '../iommufd/iova-map.js';
import type { IovaRange } from '../iommufd/iova-map.js';

export const PAGE_SHIFT = 12n;
export const PAGE_SIZE = 1n << PAGE_SHIFT;
/** DIRTY_BITMAP_PAGES_MAX: INT_MAX pages. */
export const DIRTY_BITMAP_PAGES_MAX = 0x7fff_ffffn;
/** DIRTY_BITMAP_SIZE_MAX, bytes. */
export const DIRTY_BITMAP_SIZE_MAX = bitmapBytes(DIRTY_BITMAP_PAGES_MAX);

/** DIRTY_BITMAP_BYTES(): whole 64-bit words. */
export function bitmapBytes(pages: bigint): bigint {
  return (pages + 63n) / 64n * 8n;
}

/** struct vfio_bitmap. */
export interface UserBitmap {
  readonly pgsize: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** Address in the client. */
  readonly data: bigint;
}

/** Throws EINVAL for a bitmap that can't be one for `length` bytes of IOVA. */
export function checkBitmap(bitmap: UserBitmap, length: bigint): void {
  const shift = lowestBit(bitmap.pgsize);
  if (!isUserRange(bitmap.data, bitmap.size) || shift === undefined) throw new Errno('EINVAL');
  const pages = length >> BigInt(shift);
  if (pages === 0n || bitmap.size === 0n || bitmap.size > DIRTY_BITMAP_SIZE_MAX || bitmap.size < bitmapBytes(pages)) {
    throw new Errno('EINVAL', 'bitmap size');
  }
}

/** Bytes of bitmap in one write. */
const PIECE = 1 << 20;
/** Pieces after which other requests get their turn. */
const PIECES_PER_TURN = 4;

/**
 * Writes the bits of one mapping into a bitmap whose first bit is the page of `base` (at or below the mapping) and forgets them,
 * but for `keep`. Throws EFAULT.
 */
export function reportMapping(
  log: DirtyLog, mapping: IovaRange, base: bigint, memory: CallerMemory, address: bigint, keep = false,
): Awaitable<void> {
  const firstBit = mapping.iova - base >> PAGE_SHIFT;
  const endBit = firstBit + (lengthOf(mapping) >> PAGE_SHIFT);
  let byte = firstBit / 64n * 8n;
  const end = bitmapBytes(endBit);
  const piece = (): void => {
    const size = end - byte < BigInt(PIECE) ? Number(end - byte) : PIECE;
    const bits = new Uint8Array(size);
    const from = max(mapping.iova, base + (byte * 8n << PAGE_SHIFT));
    const to = min(mapping.last + 1n, base + ((byte + BigInt(size)) * 8n << PAGE_SHIFT));
    if (byte * 8n < firstBit) bits.set(memory.read(address + byte, 8));
    const origin = base + (byte * 8n << PAGE_SHIFT);
    log.forEach(from, to - from, (iova, length) => {
      setBits(bits, Number(iova - origin >> PAGE_SHIFT), Number(length >> PAGE_SHIFT));
    });
    memory.write(address + byte, bits);
    if (!keep) log.clear(from, to - from);
    byte += BigInt(size);
  };
  for (let n = 0; n < PIECES_PER_TURN && byte < end; n++) piece();
  return byte < end ? rest() : undefined;

  async function rest(): Promise<void> {
    while (byte < end) {
      await nextTurn();
      for (let n = 0; n < PIECES_PER_TURN && byte < end; n++) piece();
    }
  }
}

/** Mappings in one turn of the event loop. */
const ITEMS_PER_TURN = 256;

/** Runs `step` for every item in order, and lets others run in between; at once where there are few and none waits. */
export function inTurns<T>(items: readonly T[], step: (item: T) => Awaitable<void>): Awaitable<void> {
  for (const [n, item] of items.entries()) {
    if (n === ITEMS_PER_TURN) return later(items.slice(n), step, nextTurn());
    const wait = step(item);
    if (wait !== undefined) return later(items.slice(n + 1), step, wait);
  }
  return undefined;
}

async function later<T>(items: readonly T[], step: (item: T) => Awaitable<void>, wait: Promise<void>): Promise<void> {
  await wait;
  for (const [n, item] of items.entries()) {
    if (n > 0 && n % ITEMS_PER_TURN === 0) await nextTurn();
    await step(item);
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setBits(bits: Uint8Array, first: number, count: number): void {
  for (let bit = first; bit < first + count;) {
    if ((bit & 7) === 0 && first + count - bit >= 8) {
      const whole = first + count - bit & ~7;
      bits.fill(0xff, bit >>> 3, bit + whole >>> 3);
      bit += whole;
    } else {
      bits[bit >>> 3] = (bits[bit >>> 3] ?? 0) | 1 << (bit & 7);
      bit++;
    }
  }
}

const max = (a: bigint, b: bigint): bigint => a > b ? a : b;
const min = (a: bigint, b: bigint): bigint => a < b ? a : b;
