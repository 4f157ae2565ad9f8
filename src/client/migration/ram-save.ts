/**
 * RAM of an outgoing migration: a bitmap of pages to send, filled by dirty tracking. Source: QEMU's migration/ram.c.
 *
 * Pages are copied into a staging buffer before they are sent: the guest goes on writing to the memory itself.
 */
import type { GuestMemory } from '../vm/memory.js';
import { PAGE_SIZE, wordsOf } from '../vm/ram.js';
import type { MigrationStatistics } from './statistics.js';
import { ramRecordStruct, ramRunStruct } from './stream.js';
import type { StreamWriter } from './stream-writer.js';

/** Pages of one record: what its head leaves of MAX_PAYLOAD. */
const RECORD_PAGES = 240;
/** Runs of zero pages of one record. */
const RECORD_ZERO_RUNS = 1024;
const ZERO_PAGE = Buffer.alloc(PAGE_SIZE);
const WORDS = PAGE_SIZE / 4;

/** Page numbers, gathered into runs. */
class Runs {
  readonly #pages: number[] = [];
  readonly #counts: number[] = [];
  total = 0;

  get length(): number {
    return this.#pages.length;
  }

  add(page: number, count = 1): void {
    const last = this.#pages.length - 1;
    this.total += count;
    if (last >= 0 && (this.#pages[last] ?? 0) + (this.#counts[last] ?? 0) === page) {
      this.#counts[last] = (this.#counts[last] ?? 0) + count;
    }
    else {
      this.#pages.push(page);
      this.#counts.push(count);
    }
  }

  /** Takes the first `most` runs out. */
  take(most: number): Runs {
    const taken = new Runs();
    const counts = this.#counts.splice(0, most);
    this.#pages.splice(0, most).forEach((page, at) => taken.add(page, counts[at]));
    this.total -= taken.total;
    return taken;
  }

  encode(): Uint8Array {
    const data = new Uint8Array(this.length * ramRunStruct.size);
    this.#pages.forEach((page, at) => ramRunStruct.patch(data, { page, count: this.#counts[at] ?? 0 }, at * ramRunStruct.size));
    return data;
  }
}

export class RamSaver {
  readonly #memory: GuestMemory;
  readonly #statistics: MigrationStatistics;
  readonly #pass: (count: number) => void;
  /** Pages to send; all at first. */
  readonly #bitmap: Uint8Array;
  readonly #bitmapWords: Uint32Array;
  #pages: number;
  #next = 0;
  #lastSync = 0;
  readonly #staging = Buffer.alloc(RECORD_PAGES * PAGE_SIZE);
  readonly #words: Uint32Array;
  /** Zero pages that were never written, still to be told. */
  readonly #holes = new Runs();

  /** `pass` is told of each synchronisation: the event MIGRATION_PASS. */
  constructor(memory: GuestMemory, statistics: MigrationStatistics, pass: (count: number) => void) {
    this.#memory = memory;
    this.#statistics = statistics;
    this.#pass = pass;
    const { pages } = memory.ram;
    this.#pages = pages;
    this.#bitmap = new Uint8Array(memory.ram.dirty.length).fill(0xff, 0, pages >> 3);
    if (pages % 8 !== 0) this.#bitmap[pages >> 3] = (1 << pages % 8) - 1;
    this.#bitmapWords = wordsOf(this.#bitmap);
    statistics.total = memory.ram.size;
    const { bytes } = memory.ram;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  }

  /** ram_save_setup(): throws where a device's log cannot be started. */
  setup(): void {
    this.#memory.startDirtyLog();
    this.sync();
    // What is written from now on is logged, so that this may be skipped: looking at it would allocate it.
    const { ram } = this.#memory;
    let end = 0;
    for (const [from, to] of [...ram.written, [ram.size, ram.size] as const]) {
      this.#skip(Math.ceil(end / PAGE_SIZE), Math.floor(from / PAGE_SIZE));
      end = to;
    }
  }

  /** Bytes of pages that are to be sent. */
  get pending(): number {
    return this.#pages * PAGE_SIZE;
  }

  /** migration_bitmap_sync() */
  sync(): void {
    this.#memory.syncDirtyLog();
    const dirty = this.#memory.ram.dirtyWords;
    const bitmap = this.#bitmapWords;
    let found = 0;
    for (let at = 0; at < dirty.length; at++) {
      const bits = dirty[at] ?? 0;
      if (bits === 0) continue;
      dirty[at] = 0;
      const before = bitmap[at] ?? 0;
      bitmap[at] = before | bits;
      for (let fresh = bits & ~before; fresh !== 0; fresh &= fresh - 1) found++;
    }
    this.#pages += found;
    this.#next = 0;
    const now = performance.now();
    if (this.#lastSync > 0) this.#statistics.dirtyPagesRate = Math.round(found / Math.max(0.001, (now - this.#lastSync) / 1000));
    this.#lastSync = now;
    this.#statistics.remaining = this.pending;
    this.#pass(++this.#statistics.dirtySyncCount);
  }

  /** Sends one record of at most about `limit` bytes (one page at least). False when there is nothing to send. */
  async send(writer: StreamWriter, limit: number): Promise<boolean> {
    const zeros = this.#holes.take(RECORD_ZERO_RUNS);
    if (this.#pages === 0 && zeros.length === 0) return false;
    const { bytes } = this.#memory.ram;
    const most = Math.max(1, Math.min(RECORD_PAGES, Math.floor(limit / PAGE_SIZE)));
    const pages = new Runs();
    while (pages.total < most && zeros.length < RECORD_ZERO_RUNS) {
      const page = this.#take();
      if (page < 0) break;
      if (this.#isZero(page)) zeros.add(page);
      else {
        this.#staging.set(bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE), pages.total * PAGE_SIZE);
        pages.add(page);
      }
    }
    this.#statistics.zeroPages += zeros.total;
    this.#statistics.normalPages += pages.total;
    this.#statistics.remaining = this.pending;
    await writer.record('ram', ramRecordStruct.encode({ zero_runs: zeros.length, runs: pages.length }), zeros.encode(),
      pages.encode(),
      this.#staging.subarray(0, pages.total * PAGE_SIZE));
    return true;
  }

  #isZero(page: number): boolean {
    // Most pages that are not zero begin so.
    return this.#words[page * WORDS] === 0 && ZERO_PAGE.equals(
      this.#memory.ram.bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
  }

  /** Pages [from, to) need not be looked at: they are zero. */
  #skip(from: number, to: number): void {
    for (let page = from; page < to; page++) {
      const [byte, bit] = [page >> 3, 1 << (page & 7)];
      if (((this.#bitmap[byte] ?? 0) & bit) === 0) continue;
      this.#bitmap[byte] = (this.#bitmap[byte] ?? 0) & ~bit;
      this.#pages--;
      this.#holes.add(page);
    }
    this.#statistics.remaining = this.pending;
  }

  cleanup(): void {
    this.#memory.stopDirtyLog();
  }

  /** The next page to send, no longer to be sent; -1 when there is none. */
  #take(): number {
    if (this.#pages === 0) return -1;
    for (let byte = this.#next; ; byte = (byte + 1) % this.#bitmap.length) {
      const bits = this.#bitmap[byte] ?? 0;
      if (bits === 0) continue;
      const lowest = bits & -bits;
      this.#bitmap[byte] = bits & ~lowest;
      this.#pages--;
      this.#next = byte;
      return byte * 8 + 31 - Math.clz32(lowest);
    }
  }
}
