/**
 * DirtyLog: which pages a device has written, exact to the page and sparse.
 *
 * Several may run at once over the same memory (type1's, a HWPT's, the device's own DMA logging): each is one DirtyLog and
 * is read and cleared by itself. Memory: 4 KiB for each touched 128 MiB, nothing for what was never written.
 */
const PAGE_SHIFT = 12n;
/** Bytes: the granularity of every log. */
export const DIRTY_PAGE_SIZE = 1n << PAGE_SHIFT;
/** Pages in one piece of the log. */
const PIECE_PAGES = 32768;

interface Piece {
  readonly words: Uint32Array;
  dirty: number;
}

export class DirtyLog {
  /** Page number / PIECE_PAGES -> its bits. A page number fits 52 bits, so all of these are exact numbers. */
  readonly #pieces = new Map<number, Piece>();

  /** Dirty pages. */
  get count(): number {
    let sum = 0;
    for (const piece of this.#pieces.values()) sum += piece.dirty;
    return sum;
  }

  get empty(): boolean {
    return this.#pieces.size === 0;
  }

  /** Marks every page that has a byte in the range. Takes memory for all of it: meant for what a device really wrote. */
  mark(iova: bigint, length: bigint): void {
    if (length <= 0n) return;
    eachPiece(iova, length, (key, first, last) => {
      let piece = this.#pieces.get(key);
      if (piece === undefined) {
        piece = { words: new Uint32Array(PIECE_PAGES / 32), dirty: 0 };
        this.#pieces.set(key, piece);
      }
      change(piece, first, last, true);
    });
  }

  /** Forgets every page that has a byte in the range; any length is fast. */
  clear(iova: bigint, length: bigint): void {
    if (length <= 0n) return;
    for (const { key, first, last } of this.#touched(iova, length)) {
      const piece = this.#pieces.get(key);
      if (piece === undefined) continue;
      change(piece, first, last, false);
      if (piece.dirty === 0) this.#pieces.delete(key);
    }
  }

  clearAll(): void {
    this.#pieces.clear();
  }

  /** Calls `run` for every maximal dirty run inside pieces of the range, ascending; the log must not change meanwhile. */
  forEach(iova: bigint, length: bigint, run: (iova: bigint, length: bigint) => void): void {
    if (length <= 0n) return;
    for (const { key, first, last } of this.#touched(iova, length)) {
      const piece = this.#pieces.get(key);
      if (piece !== undefined) runs(piece, key, first, last, run);
    }
  }

  /**
   * The dirty parts of a range as windows, ascending: one for each piece of the log that has anything in it. Lets a
   * reader of a huge range visit only what was touched.
   */
  windows(iova: bigint, length: bigint): { iova: bigint; length: bigint }[] {
    if (length <= 0n) return [];
    return this.#touched(iova, length).map(({ key, first, last }) => ({
      iova: pageAddress(key, first), length: BigInt(last - first + 1) << PAGE_SHIFT,
    }));
  }

  /** The pieces that exist in the range: by asking for each, or by looking through all, whichever is less. */
  #touched(iova: bigint, length: bigint): { key: number; first: number; last: number }[] {
    const firstPage = Number(iova >> PAGE_SHIFT);
    const lastPage = Number((iova + length - 1n) >> PAGE_SHIFT);
    const firstKey = Math.floor(firstPage / PIECE_PAGES);
    const lastKey = Math.floor(lastPage / PIECE_PAGES);
    let keys: number[] = [];
    if (lastKey - firstKey < this.#pieces.size) {
      for (let key = firstKey; key <= lastKey; key++) if (this.#pieces.has(key)) keys.push(key);
    } else {
      keys = [...this.#pieces.keys()].filter((key) => key >= firstKey && key <= lastKey).sort((a, b) => a - b);
    }
    return keys.map((key) => ({
      key,
      first: key === firstKey ? firstPage - key * PIECE_PAGES : 0,
      last: key === lastKey ? lastPage - key * PIECE_PAGES : PIECE_PAGES - 1,
    }));
  }
}

const pageAddress = (key: number, page: number): bigint => BigInt(key * PIECE_PAGES + page) << PAGE_SHIFT;

function eachPiece(iova: bigint, length: bigint, visit: (key: number, first: number, last: number) => void): void {
  const firstPage = Number(iova >> PAGE_SHIFT);
  const lastPage = Number((iova + length - 1n) >> PAGE_SHIFT);
  for (let page = firstPage; page <= lastPage;) {
    const key = Math.floor(page / PIECE_PAGES);
    const end = Math.min(lastPage, (key + 1) * PIECE_PAGES - 1);
    visit(key, page - key * PIECE_PAGES, end - key * PIECE_PAGES);
    page = end + 1;
  }
}

/** Sets or clears the bits first..last and keeps the count. */
function change(piece: Piece, first: number, last: number, dirty: boolean): void {
  for (let word = first >>> 5; word <= last >>> 5; word++) {
    const low = Math.max(first - word * 32, 0);
    const high = Math.min(last - word * 32, 31);
    const mask = ((0xffffffff << low) & (0xffffffff >>> (31 - high))) >>> 0;
    const before = piece.words[word] ?? 0;
    const after = (dirty ? before | mask : before & ~mask) >>> 0;
    piece.words[word] = after;
    piece.dirty += popcount(after) - popcount(before);
  }
}

function runs(piece: Piece, key: number, first: number, last: number, run: (iova: bigint, length: bigint) => void): void {
  let start = -1;
  const end = (page: number): void => {
    if (start >= 0) run(pageAddress(key, start), BigInt(page - start) << PAGE_SHIFT);
    start = -1;
  };
  for (let page = first; page <= last;) {
    const word = piece.words[page >>> 5] ?? 0;
    // Whole words of one colour are stepped over at once.
    if ((page & 31) === 0 && page + 31 <= last && (word === 0 || word === 0xffffffff)) {
      if (word === 0) end(page);
      else if (start < 0) start = page;
      page += 32;
      continue;
    }
    if ((word >>> (page & 31) & 1) === 0) end(page);
    else if (start < 0) start = page;
    page++;
  }
  end(last + 1);
}

function popcount(word: number): number {
  let n = word - ((word >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
