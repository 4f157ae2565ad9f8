/**
 * VfioDevice: what a driver gives to VFIO, and what VFIO knows of it. Mirrors include/linux/vfio.h: struct vfio_device_ops,
 * vfio_migration_ops.
 */
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import type { Type1 } from './type1.js';

export interface VfioRegion {
  /** VFIO_REGION_INFO_FLAG_* */
  readonly flags: number;
  /** Bytes. */
  readonly size: bigint;
}

export interface VfioIrq {
  /** VFIO_IRQ_INFO_* */
  readonly flags: number;
  readonly count: number;
}

/** The IOVA space behind an open device: what a driver uses to reach guest memory, and what it dirtied there. */
export interface DmaSpace {
  /** Throws EFAULT where [iova, iova+length) is not mapped for device reads. */
  read(iova: bigint, length: number): Uint8Array;
  /**
   * Throws EFAULT where not mapped for device writes, and where the client has no memory behind a mapping; then what comes before
   * may be written. Marks every page that was written dirty in all running logs.
   */
  write(iova: bigint, data: Uint8Array): void;
  /** As write() of `length` bytes: `pattern`, at least one byte, over and over. */
  fill(iova: bigint, length: number, pattern: Uint8Array): void;
  /** From now on marks in `log` too what is written; returns what ends that. */
  keepLog(log: WriteLog): () => void;
}

/** Takes ranges in bytes. */
export interface WriteLog {
  mark(iova: bigint, length: bigint): void;
}

/** vfio_migration_ops. The state machine (arcs, data files) is vfio/migration.ts; a driver supplies the device's part. */
export interface VfioMigrationOps {
  /** VFIO_MIGRATION_STOP_COPY | P2P | PRE_COPY as VFIO_DEVICE_FEATURE_MIGRATION reports. */
  readonly flags: number;
  /**
   * migration_set_state(): walks the arcs to `state`. Resolves to a new data file when the walk made one, else undefined.
   * Throws the errno; the device then is in the state that was reached.
   */
  setState(request: FileRequest, state: number): Awaitable<OpenFile | undefined>;
  getState(): number;
  /** migration_get_data_size(): bytes, stop_copy_length. */
  dataSize(request: FileRequest): Awaitable<bigint>;
  /** The device's name, once: for the labels of data files. */
  named?(device: string): void;
}

export interface VfioDeviceOps {
  /** `vfio-pci`, `vfio-ap`: struct vfio_device_ops.name is not this; it is the mdev type's device_api. */
  readonly deviceApi: string;
  readonly migration?: VfioMigrationOps | undefined;
  /** False: it migrates by an older protocol, and has none of the migration features (VFIO_DEVICE_FEATURE_MIG...). */
  readonly migrationFeatures?: boolean | undefined;
  /**
   * True: the device has VFIO_DEVICE_FEATURE_DMA_LOGGING_*. VFIO keeps the log (vfio/dma-logging.ts) from what the driver writes
   * through DmaSpace.write(), so a driver has nothing to do for it.
   */
  readonly dmaLogging?: boolean | undefined;
  /** OpenFile.ioctlKind of its files. */
  readonly ioctlKind?: string | undefined;
  /** First open of the device (vfio_df_device_first_open). */
  openDevice?(dma: DmaSpace): void;
  /** Last close. */
  closeDevice?(): void;
  /** File offset as the client gave it (index << 40 | offset). */
  read?(request: FileRequest, offset: number, size: number): Awaitable<Uint8Array>;
  write?(request: FileRequest, offset: number, data: Uint8Array): Awaitable<number>;
  /** All ioctls of a device fd that VFIO itself does not answer (GET_INFO, GET_REGION_INFO, SET_IRQS, RESET, ...). */
  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number>;
  /** VFIO_DEVICE_FEATURE numbers beyond the standard table (private range); undefined where the driver has none. */
  readonly features?: readonly VfioFeature[] | undefined;
  /**
   * A type1 container is now what the device, at its first open, reaches memory through; returns what undoes it. For a protocol
   * that asks something of the container too.
   */
  attachContainer?(iommu: Type1): () => void;
  /** Asked to give the device up (mdev removal while open); `count` grows from 0. */
  request?(count: number): void;
}

/** data[] of a struct vfio_device_feature. */
export interface FeaturePayload {
  /** Where it is in the caller. */
  readonly address: bigint;
  /** Bytes that the caller's argsz leaves for it, at least the feature's minimumSize. */
  readonly size: number;
  /** Its first inputSize bytes, copied in. */
  readonly input: Uint8Array;
}

/** One row of the VFIO_DEVICE_FEATURE table. */
export interface VfioFeature {
  /** Number, 0 to 0xffff. */
  readonly feature: number;
  readonly name: string;
  /** VFIO_DEVICE_FEATURE_GET and/or _SET: the operations it supports. */
  readonly supported: number;
  /** Smallest payload after struct vfio_device_feature, bytes. */
  readonly minimumSize: number;
  /** How much of the payload is read, at most minimumSize; default 0. */
  readonly inputSize?: number;
  /** Runs GET or SET (never for PROBE alone). Throws the errno; returns the ioctl's result (0). */
  run(request: FileRequest, operation: 'get' | 'set', payload: FeaturePayload): Awaitable<number>;
}
