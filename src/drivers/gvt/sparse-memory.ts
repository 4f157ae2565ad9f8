/** Memory of which only the pages that were written take any. The rest reads as zeros. */
const PAGE = 4096;

export class SparseMemory {
  /** By page number. */
  readonly #pages = new Map<number, Uint8Array>();

  /** `size`: bytes, whole pages. */
  constructor(readonly size: number) {}

  get pageCount(): number {
    return this.#pages.size;
  }
  /** Pages that there can be. */
  get maxPages(): number {
    return this.size / PAGE;
  }

  /** The range lies in the memory. */
  read(offset: number, length: number): Uint8Array {
    const data = new Uint8Array(length);
    eachPart(offset, length, (page, from, at, size) => {
      const found = this.#pages.get(page);
      if (found !== undefined) data.set(found.subarray(from, from + size), at);
    });
    return data;
  }

  write(offset: number, data: Uint8Array): void {
    eachPart(offset, data.length, (page, from, at, size) => this.#page(page).set(data.subarray(at, at + size), from));
  }

  clear(): void {
    this.#pages.clear();
  }

  /** Ascending. */
  pages(): [number: number, content: Uint8Array][] {
    return [...this.#pages].sort(([a], [b]) => a - b);
  }

  #page(number: number): Uint8Array {
    const found = this.#pages.get(number) ?? new Uint8Array(PAGE);
    this.#pages.set(number, found);
    return found;
  }
}

/** Calls `visit` for each page's part of a range: the page, where in it, where in the range, and how many bytes. */
export function eachPart(
  offset: number, length: number, visit: (page: number, from: number, at: number, size: number) => void,
): void {
  for (let at = 0; at < length;) {
    const from = (offset + at) % PAGE;
    const size = Math.min(PAGE - from, length - at);
    visit((offset + at - from) / PAGE, from, at, size);
    at += size;
  }
}
