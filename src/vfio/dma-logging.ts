/**
 * DmaLogging: a device's own dirty page log (VFIO_DEVICE_FEATURE_DMA_LOGGING_*), in the place of struct vfio_log_ops.
 *
 * It is fed by the device's DmaPort: whatever a driver writes through DmaSpace.write() inside the logged ranges is marked, exact
 * to the page. One per device; stopped by STOP and by the last close.
 */
import { DirtyLog } from '../iommufd/dirty-log.js';
import type { DmaPort } from '../iommufd/dma-space.js';

export interface LoggedRange {
  readonly iova: bigint;
  /** Bytes; 0 is a range that nothing is in. */
  readonly length: bigint;
}

/** A log that only takes what lies in its ranges. */
class RangedLog extends DirtyLog {
  readonly #ranges: readonly LoggedRange[];

  constructor(ranges: readonly LoggedRange[]) {
    super();
    this.#ranges = ranges;
  }

  override mark(iova: bigint, length: bigint): void {
    for (const range of this.#ranges) {
      const from = iova > range.iova ? iova : range.iova;
      const to = iova + length < range.iova + range.length ? iova + length : range.iova + range.length;
      if (from < to) super.mark(from, to - from);
    }
  }
}

export class DmaLogging {
  readonly #port: DmaPort;
  #log: DirtyLog | undefined;

  constructor(port: DmaPort) {
    this.#port = port;
  }

  /** What was written since start(); an empty log while none is running. */
  get log(): DirtyLog {
    return this.#log ?? EMPTY;
  }

  /** A running log is replaced by a new, empty one. */
  start(ranges: readonly LoggedRange[]): void {
    this.stop();
    this.#log = new RangedLog(ranges);
    this.#port.logs.add(this.#log);
  }

  stop(): void {
    if (this.#log === undefined) return;
    this.#port.logs.delete(this.#log);
    this.#log = undefined;
  }
}

const EMPTY = new DirtyLog();
