/**
 * The three versions of the proposal as a device shows them, one row each: `rfc` (early 2017), `rfc-v2` (2017), `rfc-v3` (2018).
 *
 * Errnos: GET_INFO and the like as ever; STATUS_SET as an ioctl of the time (argsz too small, unknown flags: EINVAL); byte 0 of
 * the region as kvmgt.c had it: EFAULT for anything but one byte that is START or STOP.
 */
import { Errno } from '../abi/errno.js';
import { VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE } from '../abi/vfio.js';
import {
  VFIO_DEVICE_FLAGS_MIGRATABLE, VFIO_DEVICE_PCI_GET_DIRTY_BITMAP, VFIO_DEVICE_PCI_START, VFIO_DEVICE_PCI_STATUS_SET,
  VFIO_DEVICE_PCI_STOP, VFIO_DEVICE_START, VFIO_DEVICE_STATE_OFFSET, VFIO_DEVICE_STOP, VFIO_REGION_SUBTYPE_DEVICE_STATE,
  VFIO_REGION_SUBTYPE_DEVICE_STATE_2017, VFIO_REGION_TYPE_DEVICE_STATE, VFIO_REGION_TYPE_PCI_VENDOR_INTEL, vfio_device_status_set,
  vfio_pci_get_dirty_bitmap,
} from '../abi/vfio-rfc.js';
import { DirtyLog } from '../iommufd/dirty-log.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import { copyArgument } from '../kernfs/uaccess.js';
import type { DmaSpace } from './device.js';
import type { DeviceRegion } from './device-region.js';
import { ioctlTable } from './ioctl.js';
import type { IoctlTable } from './ioctl.js';
import { RfcMigration } from './migration-rfc.js';
import type { MigrationMachine } from './migration.js';
import { attachRfcContainer, getDirtyBitmap } from './rfc-dirty-bitmap.js';
import type { Type1 } from './type1.js';

interface RfcVersion {
  /** VFIO_DEVICE_FLAGS_* */
  readonly infoFlags: number;
  /** By what the region is found; undefined: by its index. */
  readonly regionType?: { readonly type: number; readonly subtype: number };
  /** Where the image begins in the region. In front of it is the byte that says whether the device is stopped. */
  readonly stateOffset: 0 | typeof VFIO_DEVICE_STATE_OFFSET;
  readonly ioctls: IoctlTable<RfcProtocol>;
  /** Who is asked for the dirty bitmap. */
  readonly dirtyBitmap: 'device' | 'container';
}

const V1_IOCTLS = ioctlTable<RfcProtocol>([
  [VFIO_DEVICE_PCI_STATUS_SET, 'VFIO_DEVICE_PCI_STATUS_SET', (protocol, request, argument) =>
    protocol.setStatus(request, argument)],
  [VFIO_DEVICE_PCI_GET_DIRTY_BITMAP, 'VFIO_DEVICE_PCI_GET_DIRTY_BITMAP', (protocol, request, argument) =>
    getDirtyBitmap(protocol.log, request, argument, vfio_pci_get_dirty_bitmap)],
]);
const LATER = {
  infoFlags: 0, stateOffset: VFIO_DEVICE_STATE_OFFSET, ioctls: ioctlTable<RfcProtocol>([]), dirtyBitmap: 'container',
} as const;

const VERSIONS = {
  'rfc': { infoFlags: VFIO_DEVICE_FLAGS_MIGRATABLE, stateOffset: 0, ioctls: V1_IOCTLS, dirtyBitmap: 'device' },
  'rfc-v2': {
    ...LATER, regionType: { type: VFIO_REGION_TYPE_PCI_VENDOR_INTEL, subtype: VFIO_REGION_SUBTYPE_DEVICE_STATE_2017 },
  },
  'rfc-v3': { ...LATER, regionType: { type: VFIO_REGION_TYPE_DEVICE_STATE, subtype: VFIO_REGION_SUBTYPE_DEVICE_STATE } },
} as const satisfies Readonly<Record<string, RfcVersion>>;

export type RfcVersionName = keyof typeof VERSIONS;

/** What a device needs for one version; for a driver's table of protocols. Lifetime: as long as the device speaks it. */
export class RfcProtocol {
  readonly #version: RfcVersion;
  readonly #migration: RfcMigration;
  /** What the device has written since it was opened. */
  #log = new DirtyLog();
  #endLog: (() => void) | undefined;

  constructor(version: RfcVersionName, machine: MigrationMachine) {
    this.#version = VERSIONS[version];
    this.#migration = new RfcMigration(machine);
  }

  get infoFlags(): number {
    return this.#version.infoFlags;
  }
  get ioctlKind(): string | undefined {
    return this.#version.ioctls.size > 0 ? 'vfio-device rfc' : undefined;
  }
  get log(): DirtyLog {
    return this.#log;
  }

  /** One, at VFIO_PCI_DEVICE_STATE_REGION_INDEX: in v1 that index is fixed, later the first that is free. */
  get regions(): readonly DeviceRegion[] {
    const { regionType, stateOffset } = this.#version;
    return [{
      ...regionType,
      size: stateOffset + this.#migration.imageSize,
      flags: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
      read: (request, offset, length) => this.#read(request, offset, length),
      write: (request, offset, data) => this.#write(request, offset, data),
    }];
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> | undefined {
    return this.#version.ioctls.get(command)?.run(this, request, argument);
  }

  /** First open of the device. */
  open(dma: DmaSpace): void {
    this.#log = new DirtyLog();
    if (this.#version.dirtyBitmap === 'device') this.#endLog = dma.keepLog(this.#log);
  }

  /** At the first open too; returns what undoes it. */
  attachContainer(iommu: Type1): () => void {
    return this.#version.dirtyBitmap === 'container' ? attachRfcContainer(iommu) : () => undefined;
  }

  /** Last close. */
  close(): void {
    this.#endLog?.();
    this.#endLog = undefined;
    this.#migration.close();
  }

  /** VFIO_DEVICE_PCI_STATUS_SET */
  async setStatus(request: FileRequest, argument: bigint): Promise<number> {
    const { flags } = copyArgument(request.caller, argument, vfio_device_status_set, 'flags');
    if (flags === VFIO_DEVICE_PCI_STOP) await this.#migration.stop(request);
    else if (flags === VFIO_DEVICE_PCI_START) await this.#migration.start(request);
    else throw new Errno('EINVAL', 'flags');
    return 0;
  }

  #read(request: FileRequest, offset: number, length: number): Awaitable<Uint8Array> {
    const { stateOffset } = this.#version;
    if (offset >= stateOffset) return this.#migration.read(request, offset - stateOffset, length);
    if (length !== 1) throw new Errno('EFAULT', 'one byte');
    return Uint8Array.of(this.#migration.stopped ? VFIO_DEVICE_STOP : VFIO_DEVICE_START);
  }

  #write(request: FileRequest, offset: number, data: Uint8Array): Awaitable<void> {
    const { stateOffset } = this.#version;
    if (offset >= stateOffset) return this.#migration.write(request, offset - stateOffset, data);
    if (data.length !== 1) throw new Errno('EFAULT', 'one byte');
    if (data[0] === VFIO_DEVICE_STOP) return this.#migration.stop(request);
    if (data[0] === VFIO_DEVICE_START) return this.#migration.start(request);
    throw new Errno('EFAULT', 'neither START nor STOP');
  }
}
