/** Ida: gives out the lowest free number, as lib/idr.c: ida_alloc() does. O(log n) through a heap of the numbers given back. */
export class Ida {
  /** Numbers from here on were never given out. */
  #next = 0;
  /** A binary min-heap of the free numbers below #next. */
  readonly #free: number[] = [];

  alloc(): number {
    const lowest = this.#free[0];
    if (lowest === undefined) return this.#next++;
    const last = this.#free.pop();
    if (last !== undefined && this.#free.length > 0) this.#sink(last);
    return lowest;
  }

  /** `number` must have been given out and not yet been given back. */
  free(number: number): void {
    const heap = this.#free;
    let at = heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const value = heap[above] ?? 0;
      if (value <= number) break;
      heap[at] = value;
      at = above;
    }
    heap[at] = number;
  }

  /** Puts `value` at the top and lets it sink to its place. */
  #sink(value: number): void {
    const heap = this.#free;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && (heap[below + 1] ?? 0) < (heap[below] ?? 0)) below++;
      const smaller = heap[below] ?? 0;
      if (smaller >= value) break;
      heap[at] = smaller;
      at = below;
    }
    heap[at] = value;
  }
}
