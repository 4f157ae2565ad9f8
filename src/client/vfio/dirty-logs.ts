/**
 * Who keeps the log of pages that devices write: the devices themselves where every one can, else the IOMMU. Source: QEMU's
 * hw/vfio/listener.c: vfio_listener_log_global_start(), vfio_devices_dma_logging_start(), vfio_container_query_dirty_bitmap().
 */
import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING_P2P,
  vfio_device_feature_dma_logging_control, vfio_device_feature_dma_logging_range, vfio_device_feature_dma_logging_report,
} from '../../abi/vfio.js';
import { isErrno } from '../../abi/errno.js';
import { addressOf } from '../../sys/libc.js';
import { strerror } from '../../sys/strerror.js';
import { VfioError } from '../vm/device.js';
import type { MigrationSide } from '../vm/device.js';
import type { DirtyLog } from '../vm/memory.js';
import type { Ram } from '../vm/ram.js';
import { PAGE_SIZE } from '../vm/ram.js';
import { bitmapFor, mergeBitmap } from './container.js';
import type { Container } from './container.js';
import { deviceFeature, setBareFeature } from './ioctl.js';
import { DeviceMigration } from './migration.js';

export interface LoggedDevice {
  readonly fd: number;
  readonly name: string;
  readonly container: Container;
  readonly dirtyTracking: boolean;
  /** What it has written may be asked for while it runs. */
  readonly preCopyTracking: boolean;
  readonly migration: MigrationSide | undefined;
}

/** The log of one container and its devices. */
export class DeviceLog implements DirtyLog {
  readonly devices: LoggedDevice[] = [];
  readonly #container: Container;
  /** The whole RAM; kept, because the kernel reads it by address. */
  readonly #range: Uint8Array;
  /** Devices that log; undefined while the IOMMU does, or nobody. */
  #logging: readonly LoggedDevice[] | undefined;

  constructor(container: Container, ram: Ram) {
    this.#container = container;
    this.#range = vfio_device_feature_dma_logging_range.encode({ iova: 0n, length: BigInt(ram.size) });
  }

  start(): void {
    if (!this.devices.every(({ dirtyTracking }) => dirtyTracking)) return this.#container.setDirtyTracking(true);
    const started: LoggedDevice[] = [];
    for (const device of this.devices) {
      try {
        this.#startDevice(device);
      } catch (error) {
        for (const other of started) stopDevice(other);
        throw error;
      }
      started.push(device);
    }
    this.#logging = started;
  }

  /** Where vfio_log_sync_needed(). */
  sync(ram: Ram): void {
    if (this.devices.some((device) => !device.preCopyTracking && runs(device))) return;
    if (this.#logging === undefined) return this.#container.queryDirtyBitmap(ram);
    const bitmap = bitmapFor(ram);
    for (const device of this.#logging) {
      call(`${device.name}: Failed to get DMA logging report`, () =>
        deviceFeature(device.fd, 'get', VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, vfio_device_feature_dma_logging_report, {
          iova: 0n, length: BigInt(ram.size), page_size: BigInt(PAGE_SIZE), bitmap: addressOf(bitmap),
        }));
    }
    mergeBitmap(ram, bitmap);
  }

  stop(): void {
    const logging = this.#logging;
    this.#logging = undefined;
    if (logging !== undefined) for (const device of logging) stopDevice(device);
    else try { this.#container.setDirtyTracking(false); } catch { /* Nothing was logged. */ }
  }

  /** A device is being closed. */
  remove(device: LoggedDevice): void {
    const at = this.devices.indexOf(device);
    if (at >= 0) this.devices.splice(at, 1);
    this.#logging = this.#logging?.filter((other) => other !== device);
  }

  #startDevice(device: LoggedDevice): void {
    call(`${device.name}: Failed to start DMA logging`, () =>
      deviceFeature(device.fd, 'set', VFIO_DEVICE_FEATURE_DMA_LOGGING_START, vfio_device_feature_dma_logging_control, {
        page_size: BigInt(PAGE_SIZE), num_ranges: 1, ranges: addressOf(this.#range),
      }));
  }
}

const RUNS = new Set([VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P]);
const runs = ({ migration }: LoggedDevice): boolean => migration instanceof DeviceMigration && RUNS.has(migration.deviceState);

function stopDevice(device: LoggedDevice): void {
  try { setBareFeature(device.fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP); } catch { /* Closing the device ends it. */ }
}

function call(what: string, run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new VfioError(`${what}, err ${-error.errno} (${strerror(error.errno)})`, error.errno);
  }
}
