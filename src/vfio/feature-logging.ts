/**
 * DMA logging: DMA_LOGGING_START, _STOP, _REPORT. drivers/vfio/vfio_main.c: vfio_ioctl_device_feature_logging_start(),
 * vfio_ioctl_device_feature_logging_report().
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET, vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range, vfio_device_feature_dma_logging_report,
} from '../abi/vfio.js';
import { lowestBit } from '../abi/bitops.js';
import type { CallerMemory } from '../kernfs/caller.js';
import type { Awaitable } from '../kernfs/file.js';
import { copyIn, copyOut } from '../kernfs/uaccess.js';
import { mergeDirtyBitmap } from '../iommufd/dirty-bitmap.js';
import type { VfioFeature } from './device.js';
import type { DmaLogging, LoggedRange } from './dma-logging.js';
import { madeOnce } from './feature-row.js';
import type { FeatureRow } from './feature-row.js';

/** LOG_MAX_RANGES: a page of them. */
const LOG_MAX_RANGES = 4096 / vfio_device_feature_dma_logging_range.size;
const SZ_4K = 4096n;
const U64_MAX = (1n << 64n) - 1n;

const start = (logging: DmaLogging): VfioFeature => ({
  feature: VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  name: 'VFIO_DEVICE_FEATURE_DMA_LOGGING_START',
  supported: VFIO_DEVICE_FEATURE_SET,
  minimumSize: vfio_device_feature_dma_logging_control.size,
  inputSize: vfio_device_feature_dma_logging_control.size,
  run: ({ caller }, _operation, { address, input }) => {
    const control = vfio_device_feature_dma_logging_control.decode(input);
    if (control.num_ranges === 0) throw new Errno('EINVAL', 'no ranges');
    if (control.num_ranges > LOG_MAX_RANGES) throw new Errno('E2BIG');
    logging.start(copyRanges(caller, control.ranges, control.num_ranges, control.page_size));
    try {
      copyOut(caller, address, vfio_device_feature_dma_logging_control, control);
    } catch (error) {
      logging.stop();
      throw error;
    }
    return 0;
  },
});

/** Each range is checked before the next one is read, so the first wrong one decides the errno. */
function copyRanges(memory: CallerMemory, address: bigint, count: number, pageSize: bigint): readonly LoggedRange[] {
  const { size } = vfio_device_feature_dma_logging_range;
  const mask = BigInt.asUintN(64, pageSize - 1n);
  const ranges: LoggedRange[] = [];
  for (let n = 0; n < count; n++) {
    const range = vfio_device_feature_dma_logging_range.decode(copyIn(memory, address + BigInt(n * size), size));
    if ((range.iova & mask) !== 0n || (range.length & mask) !== 0n) throw new Errno('EINVAL', 'misaligned range');
    if (range.iova + range.length > U64_MAX) throw new Errno('EOVERFLOW');
    if (ranges.some((other) => overlap(range, other))) throw new Errno('EINVAL', 'overlapping ranges');
    ranges.push(range);
  }
  return ranges;
}

/** As intervals with inclusive ends, whose arithmetic wraps: a range of length 0 at 0 is the whole space. */
function overlap(a: LoggedRange, b: LoggedRange): boolean {
  return a.iova <= lastOf(b) && b.iova <= lastOf(a);
}
const lastOf = (range: LoggedRange): bigint => BigInt.asUintN(64, range.iova + range.length - 1n);

const stop = (logging: DmaLogging): VfioFeature => ({
  feature: VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  name: 'VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP',
  supported: VFIO_DEVICE_FEATURE_SET,
  minimumSize: 0,
  run: () => {
    logging.stop();
    return 0;
  },
});

const report = (logging: DmaLogging): VfioFeature => ({
  feature: VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  name: 'VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT',
  supported: VFIO_DEVICE_FEATURE_GET,
  minimumSize: vfio_device_feature_dma_logging_report.size,
  inputSize: vfio_device_feature_dma_logging_report.size,
  run: ({ caller }, _operation, { input }) => {
    const asked = vfio_device_feature_dma_logging_report.decode(input);
    const pageShift = lowestBit(asked.page_size);
    if (pageShift === undefined || asked.page_size < SZ_4K || asked.page_size !== 1n << BigInt(pageShift)) throw new Errno('EINVAL');
    if (asked.iova + asked.length > U64_MAX) throw new Errno('EOVERFLOW');
    return asked.length === 0n ? 0 : merge(logging, caller.memory(), { ...asked, pageShift });
  },
});

interface Report {
  readonly iova: bigint;
  readonly length: bigint;
  readonly bitmap: bigint;
  readonly pageShift: number;
}

/** Bits are only ever set: what the client had in the bitmap stays. */
function merge(logging: DmaLogging, memory: CallerMemory, { iova, length, bitmap, pageShift }: Report): Awaitable<number> {
  const done = mergeDirtyBitmap(logging.log, { memory, address: bitmap, iova, length, pageShift }, { clear: true });
  return done instanceof Promise ? done.then(() => 0) : 0;
}

const ofLogging = (make: (logging: DmaLogging) => VfioFeature): FeatureRow => madeOnce((device) => device.logging, make);

export const LOGGING_FEATURES: readonly (readonly [number, FeatureRow])[] = [
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_START, ofLogging(start)],
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, ofLogging(stop)],
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, ofLogging(report)],
];
