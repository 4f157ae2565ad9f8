/** Numbers of an outgoing migration, and the bandwidth that the next 100 ms may use. Source: QEMU's migration/migration.c. */
import type { Json } from '../qmp/json-parser.js';
import { PAGE_SIZE } from '../vm/ram.js';

/** ms: QEMU's BUFFER_DELAY. */
const WINDOW = 100;

export class MigrationStatistics {
  readonly #began = performance.now();
  #setupEnd: number | undefined;
  #stopped: number | undefined;
  #end: number | undefined;
  /** Bytes on the wire. */
  transferred = 0;
  precopyBytes = 0;
  downtimeBytes = 0;
  zeroPages = 0;
  normalPages = 0;
  /** Bytes still to be sent, of RAM. */
  remaining = 0;
  /** Bytes of RAM. */
  total = 0;
  dirtySyncCount = 0;
  dirtyPagesRate = 0;
  pagesPerSecond = 0;
  /** Bytes of device state. */
  vfioTransferred = 0;
  mbps = 0;
  /** ms that the rest would take to send. */
  expectedDowntime: number;

  constructor(downtimeLimit: number) {
    this.expectedDowntime = downtimeLimit;
  }

  setupDone(): void {
    this.#setupEnd ??= performance.now();
  }
  stopped(): void {
    this.#stopped ??= performance.now();
  }
  ended(): void {
    this.#end ??= performance.now();
    const seconds = Math.max(1, this.#end - (this.#setupEnd ?? this.#began)) / 1000;
    this.mbps = this.transferred * 8 / seconds / 1e6;
  }

  get setupTime(): number {
    return Math.round((this.#setupEnd ?? this.#began) - this.#began);
  }
  get totalTime(): number {
    return Math.round((this.#end ?? performance.now()) - this.#began);
  }
  get downtime(): number {
    return this.#stopped === undefined ? 0 : Math.round((this.#end ?? performance.now()) - this.#stopped);
  }

  /** `ram` of query-migrate. */
  ram(active: boolean): Json {
    return {
      'total': this.total, 'postcopy-requests': 0, 'dirty-sync-count': this.dirtySyncCount, 'multifd-bytes': 0,
      'pages-per-second': this.pagesPerSecond, 'downtime-bytes': this.downtimeBytes, 'page-size': PAGE_SIZE,
      'remaining': active ? this.remaining : 0,
      'postcopy-bytes': 0, 'mbps': this.mbps, 'transferred': this.transferred, 'dirty-sync-missed-zero-copy': 0,
      'precopy-bytes': this.precopyBytes, 'duplicate': this.zeroPages, 'dirty-pages-rate': active ? this.dirtyPagesRate : 0,
      'normal-bytes': this.normalPages * PAGE_SIZE, 'normal': this.normalPages,
    };
  }
}

/** Source: migration_rate_limit(), migration_update_counters(). */
export class RateLimit {
  #windowBegan = performance.now();
  #sent = 0;
  /** Bytes that could be sent within downtime-limit, by the last window's measure; 0 before the first one. */
  threshold = 0;

  add(bytes: number): void {
    this.#sent += bytes;
  }

  /** Bytes left in this window; `bandwidth` in bytes per second, 0 for no limit. */
  left(bandwidth: number): number {
    return bandwidth === 0 ? Infinity : Math.max(0, bandwidth * WINDOW / 1000 - this.#sent);
  }

  /** Where a window is over, measures it. Otherwise ms until then, for a sender that has used it up. */
  update(
    statistics: MigrationStatistics, limits: { readonly downtime: number; readonly switchover: number }, pending: number,
  ): number {
    const spent = performance.now() - this.#windowBegan;
    if (spent < WINDOW) return WINDOW - spent;
    const rate = (limits.switchover > 0 ? limits.switchover / 1000 : this.#sent / spent);
    this.threshold = rate * limits.downtime;
    statistics.mbps = this.#sent * 8 / spent / 1000;
    statistics.pagesPerSecond = Math.round(this.#sent / 4096 / (spent / 1000));
    if (rate > 0) statistics.expectedDowntime = Math.round(pending / rate);
    this.#sent = 0;
    this.#windowBegan = performance.now();
    return 0;
  }
}
