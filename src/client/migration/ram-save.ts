/**
 * RAM of an outgoing migration: a bitmap of pages to send, filled by dirty tracking. Source: QEMU's migration/ram.c.
 *
 * Pages are copied into a staging buffer before they are sent: the guest goes on writing to the memory itself.
 */
import type { GuestMemory } from '../vm/memory.js';
import { PAGE_SIZE } from '../vm/ram.js';
import type { MigrationStatistics } from './statistics.js';
import { ramPageStruct, ramRecordStruct } from './stream.js';
import type { StreamWriter } from './stream-writer.js';

/** Pages of one record. */
const RECORD_PAGES = 256;
/** Zero pages of one record: they cost 8 bytes each. */
const RECORD_ZEROS = 4096;
const ZERO_PAGE = Buffer.alloc(PAGE_SIZE);

export class RamSaver {
  readonly #memory: GuestMemory;
  readonly #statistics: MigrationStatistics;
  readonly #pass: (count: number) => void;
  /** Pages to send; all at first. */
  readonly #bitmap: Uint8Array;
  #pages: number;
  #next = 0;
  #lastSync = 0;
  readonly #staging = Buffer.alloc(RECORD_PAGES * PAGE_SIZE);
  readonly #index = new Uint8Array((RECORD_PAGES + RECORD_ZEROS) * ramPageStruct.size);

  /** `pass` is told of each synchronisation: the event MIGRATION_PASS. */
  constructor(memory: GuestMemory, statistics: MigrationStatistics, pass: (count: number) => void) {
    this.#memory = memory;
    this.#statistics = statistics;
    this.#pass = pass;
    this.#bitmap = new Uint8Array(memory.ram.dirty.length).fill(0xff);
    this.#pages = memory.ram.pages;
    const spare = this.#bitmap.length * 8 - this.#pages;
    if (spare > 0) this.#bitmap[this.#bitmap.length - 1] = 0xff >> spare;
    statistics.total = memory.ram.size;
  }

  /** ram_save_setup(): throws where a device's log cannot be started. */
  setup(): void {
    this.#memory.startDirtyLog();
    this.sync();
  }

  /** Bytes of pages that are to be sent. */
  get pending(): number {
    return this.#pages * PAGE_SIZE;
  }

  /** migration_bitmap_sync() */
  sync(): void {
    this.#memory.syncDirtyLog();
    const { dirty } = this.#memory.ram;
    let found = 0;
    for (let at = 0; at < dirty.length; at++) {
      const bits = dirty[at] ?? 0;
      if (bits === 0) continue;
      dirty[at] = 0;
      const before = this.#bitmap[at] ?? 0;
      this.#bitmap[at] = before | bits;
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
    if (this.#pages === 0) return false;
    const { bytes } = this.#memory.ram;
    const most = Math.max(1, Math.min(RECORD_PAGES, Math.floor(limit / PAGE_SIZE)));
    const zeros: number[] = [];
    const pages: number[] = [];
    while (pages.length < most && zeros.length < RECORD_ZEROS) {
      const page = this.#take();
      if (page < 0) break;
      const data = bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
      if (ZERO_PAGE.equals(data)) zeros.push(page);
      else {
        this.#staging.set(data, pages.length * PAGE_SIZE);
        pages.push(page);
      }
    }
    this.#statistics.zeroPages += zeros.length;
    this.#statistics.normalPages += pages.length;
    this.#statistics.remaining = this.pending;
    const numbers = [...zeros, ...pages];
    numbers.forEach((page, at) => ramPageStruct.patch(this.#index, { page: BigInt(page) }, at * ramPageStruct.size));
    await writer.record('ram', ramRecordStruct.encode({ zeros: zeros.length, pages: pages.length }),
      this.#index.subarray(0, numbers.length * ramPageStruct.size), this.#staging.subarray(0, pages.length * PAGE_SIZE));
    return true;
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
