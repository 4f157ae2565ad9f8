/**
 * A vfio-pci device of the VM, as the rest of the VMM sees it. src/client/vfio/pci-device.ts implements it.
 *
 * Method by method what QEMU's hw/vfio does; names of methods follow hw/vfio/migration.c. Ioctls are synchronous: QEMU holds its
 * big lock meanwhile. Texts of errors are QEMU's, ready for error-desc or an error reply.
 */
import { ERRNO } from '../../abi/errno.js';
import type { IncomingDevice, OutgoingDevice } from '../migration/device-side.js';
import type { MigrationStatistics } from '../migration/statistics.js';
import type { MigrationBlocker } from './blockers.js';

export const ON_OFF_AUTO = ['on', 'off', 'auto'] as const;
export type OnOffAuto = (typeof ON_OFF_AUTO)[number];

/** Properties of `-device vfio-pci` / device_add, as far as this VMM knows them. */
export interface VfioPciOptions {
  /** Directory of the device, `/sys/bus/mdev/devices/<uuid>`: by group and type1, or with `iommufd` by cdev. */
  readonly sysfsdev: string;
  readonly id?: string | undefined;
  /** The device model. Default: what the device itself is. */
  readonly driver?: VfioPciDevice['api'] | undefined;
  /** The name of the bus that it must be on. */
  readonly bus?: string | undefined;
  /** Slot and function, `05.0`. Default: the first free slot. */
  readonly addr?: string | undefined;
  /** Default auto. */
  readonly enableMigration?: OnOffAuto | undefined;
  /** Default false. */
  readonly migrationEvents?: boolean | undefined;
  /** By cdev and iommufd. Default: by group and type1. */
  readonly iommufd?: boolean | undefined;
  /** x-device-dirty-page-tracking. Default on; auto is as on. */
  readonly deviceDirtyTracking?: OnOffAuto | undefined;
  /** x-pre-copy-dirty-page-tracking: off asks what devices have written only when they are stopped. Default on; auto is as on. */
  readonly preCopyDirtyTracking?: OnOffAuto | undefined;
  /** x-migration-multifd-transfer. Default auto, which is as off: this VMM has one channel. */
  readonly multifdTransfer?: OnOffAuto | undefined;
  /** The blocker's eventfd is registered. Default true; stock QEMU knows of none. */
  readonly blocker?: boolean | undefined;
}

/** A device could not be made, or an operation on it failed. `message` is QEMU's text. */
export class VfioError extends Error {
  override readonly name = 'VfioError';

  constructor(message: string, readonly errno?: number) {
    super(message);
  }
}

/** Nobody serves the device any more: of the call that was under way when its server ended, and of every later one. */
export const isLost = (errno: number | undefined): boolean => errno === ERRNO.ECONNABORTED || errno === ERRNO.ENOTCONN;

/** Sizes that GET_PRECOPY_INFO told, bytes. */
export interface PrecopyInfo {
  readonly initialBytes: bigint;
  readonly dirtyBytes: bigint;
}

/** The device's side of the migration protocol v2. Source: hw/vfio/migration.c. */
export interface VfioMigration {
  /** VFIO_MIGRATION_STOP_COPY | P2P | PRE_COPY */
  readonly flags: number;
  readonly hasPreCopy: boolean;
  /** VFIO_DEVICE_STATE_*, as QEMU caches it: assumed RUNNING at realize, never asked. */
  readonly deviceState: number;
  /** `PRE_COPY` */
  readonly stateName: string;
  /** A data_fd is open. */
  readonly hasData: boolean;

  /**
   * vfio_migration_set_state(): nothing when it is in `state` already. On failure `recover` is set (a second ioctl), or the
   * device reset where that is VFIO_DEVICE_STATE_ERROR or fails too. Throws VfioError.
   */
  setState(state: number, recover: number): void;
  /** vfio_migration_set_state_or_reset(): as setState(); failure is logged, and after it the device is RUNNING. */
  setStateOrReset(state: number): void;
  /** MIG_DATA_SIZE: bytes of stop-copy. Throws Errno. */
  dataSize(): bigint;
  /** VFIO_MIG_GET_PRECOPY_INFO on the data_fd. Throws Errno. */
  precopyInfo(): PrecopyInfo;
  /** One read(2) of the data_fd; 0 at the end. Throws Errno (ENOMSG: nothing for now). */
  read(buffer: Uint8Array): number;
  /** Writes all of it to the data_fd. Throws Errno. */
  write(data: Uint8Array): void;
  /** vfio_migration_cleanup(): closes the data_fd, if one is open. */
  closeData(): void;
}

/** How a device takes part in migrations, whatever the protocol. */
export interface MigrationSide {
  outgoing(device: VfioPciDevice, index: number, statistics: MigrationStatistics): OutgoingDevice;
  incoming(device: VfioPciDevice): IncomingDevice;
  /** VFIO_DEVICE_RESET. Throws Errno. */
  reset(): void;
  /** Closes what a migration has left open. */
  closeData(): void;
}

/** The device's side of the protocol that the RFC proposed. */
export interface RfcState {
  readonly running: boolean;
  /** Bytes of its state. */
  readonly size: number;
  /** Says it to the device whatever it is. Throws VfioError. */
  setRunning(running: boolean): void;
  /** From the first byte on, in order. Throws VfioError. */
  read(position: number, into: Uint8Array): void;
  write(position: number, data: Uint8Array): void;
}

/** Configuration space as the guest sees it. */
export interface ConfigAccess {
  /** Of the copy. */
  get(offset: number, width: 1 | 2 | 4): number;
  /** To the device and to the copy. Throws Errno. */
  write(offset: number, value: number, width: 1 | 2 | 4): void;
  /** Where a capability is; undefined where there is none. */
  capability(id: number): number | undefined;
}

export interface VfioPciDevice {
  /** The kind of device, as QEMU's models are called. */
  readonly api: 'vfio-ap' | 'vfio-pci';
  readonly options: VfioPciOptions;
  /** '' where it has none. */
  readonly id: string;
  /** vbasedev->name, at the head of QEMU's texts: the mdev's UUID. */
  readonly name: string;
  /** `/machine/peripheral/vf0`, `/machine/peripheral-anon/device[0]` */
  readonly qomPath: string;
  /** Section id in a stream, `0000:00:01.0/vfio`. */
  readonly sectionId: string;
  /** Undefined where the device can't migrate: `blocker` says why. */
  readonly migration: MigrationSide | undefined;
  /** enable-migration as it is now: the blocker's handler changes it, to no effect by itself. */
  enableMigration: OnOffAuto;
  /** What vfio_block_migration() added at realize. */
  readonly realizeBlocker: MigrationBlocker | undefined;
  /** What a blocker's signal added. */
  readonly userBlocker: MigrationBlocker | undefined;
  /** The device supports DMA logging and is allowed to use it. */
  readonly dirtyTracking: boolean;
  /** x-migration-multifd-transfer as it is now. */
  multifdTransfer: OnOffAuto;
  /** The driver has the feature MIGRATION_NOTICE and this VMM was told to use it (--notify). */
  readonly notifies: boolean;

  /** Policy `notify`: tells the driver. `start` throws Errno EBUSY where it is refused; `end` never throws. */
  noticeStart(): void;
  noticeEnd(): void;

  readonly config: ConfigAccess;
  /** Config space for the stream, as vfio_save_config() has it, and back. load throws VfioError. */
  saveConfig(): Uint8Array;
  loadConfig(data: Uint8Array): void;

  /** VFIO_DEVICE_RESET. Throws Errno. */
  reset(): void;
  /** Properties for qom-get, by name. */
  properties(): ReadonlyMap<string, { readonly type: string; readonly value: string | boolean | number }>;
}
