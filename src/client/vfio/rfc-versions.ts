/**
 * The three versions of the migration that was proposed in 2017 and 2018, as a client speaks them: where the state is, how a
 * device is stopped and started, and who knows the dirty pages. One row each. Source: hw/vfio/pci.c of the proposals' QEMU:
 * vfio_realize(), vfio_vm_change_state_handler(); hw/vfio/common.c: vfio_log_sync().
 */
import {
  VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_PCI_NUM_REGIONS, VFIO_REGION_INFO_CAP_TYPE, vfio_device_info,
  vfio_info_cap_header, vfio_region_info, vfio_region_info_cap_type,
} from '../../abi/vfio.js';
import {
  dirtyBitmapBytes, VFIO_DEVICE_PCI_GET_DIRTY_BITMAP, VFIO_DEVICE_PCI_START, VFIO_DEVICE_PCI_STATUS_SET, VFIO_DEVICE_PCI_STOP,
  VFIO_DEVICE_START, VFIO_DEVICE_STATE_OFFSET, VFIO_DEVICE_STOP, VFIO_IOMMU_GET_DIRTY_BITMAP, VFIO_PCI_DEVICE_STATE_REGION_INDEX,
  VFIO_REGION_SUBTYPE_DEVICE_STATE, VFIO_REGION_SUBTYPE_DEVICE_STATE_2017, VFIO_REGION_TYPE_DEVICE_STATE,
  VFIO_REGION_TYPE_PCI_VENDOR_INTEL, vfio_device_status_set, vfio_iommu_get_dirty_bitmap,
} from '../../abi/vfio-rfc.js';
import { ioctlFd } from '../../sys/io.js';
import type { Ram } from '../vm/ram.js';
import type { Container } from './container.js';
import { mergeBitmap } from './container.js';
import { callSized, vfioIoctl } from './ioctl.js';
import { Region } from './regions.js';

export interface RfcVersion {
  /** The region with the device's state; undefined where the device has none. Throws Errno. */
  findRegion(fd: number): Region | undefined;
  /** Where the state begins in it. */
  readonly stateOffset: number;
  /** Throws Errno. */
  setRunning(fd: number, region: Region, running: boolean): void;
  /** The container is asked for dirty pages, and so must be one of type1. */
  readonly asksContainer: boolean;
  /** Merges the pages that the device has written. Throws Errno. */
  mergeDirtyPages(fd: number, container: Container, ram: Ram): void;
}

const byType = (type: number, subtype: number): RfcVersion => ({
  findRegion: (fd) => findTyped(fd, type, subtype),
  stateOffset: VFIO_DEVICE_STATE_OFFSET,
  setRunning: (_fd, region, running) => region.write(0, Uint8Array.of(running ? VFIO_DEVICE_START : VFIO_DEVICE_STOP)),
  asksContainer: true,
  mergeDirtyPages: (_fd, container, ram) =>
    mergeDirty((argument) => container.ioctl?.(VFIO_IOMMU_GET_DIRTY_BITMAP, argument), ram),
});

export const RFC_VERSIONS = {
  'rfc': {
    findRegion: (fd: number) => {
      // Not by VFIO_DEVICE_FLAGS_MIGRATABLE: which bit that was is not certain.
      if (regionCount(fd) <= VFIO_PCI_DEVICE_STATE_REGION_INDEX) return undefined;
      const region = new Region(fd, VFIO_PCI_DEVICE_STATE_REGION_INDEX);
      return region.size > 0 ? region : undefined;
    },
    stateOffset: 0,
    setRunning: (fd: number, _region: Region, running: boolean) => {
      vfioIoctl(fd, VFIO_DEVICE_PCI_STATUS_SET, vfio_device_status_set, {
        flags: running ? VFIO_DEVICE_PCI_START : VFIO_DEVICE_PCI_STOP,
      });
    },
    asksContainer: false,
    mergeDirtyPages: (fd: number, _container: Container, ram: Ram) =>
      mergeDirty((argument) => void ioctlFd(fd, VFIO_DEVICE_PCI_GET_DIRTY_BITMAP, argument), ram),
  },
  'rfc-v2': byType(VFIO_REGION_TYPE_PCI_VENDOR_INTEL, VFIO_REGION_SUBTYPE_DEVICE_STATE_2017),
  'rfc-v3': byType(VFIO_REGION_TYPE_DEVICE_STATE, VFIO_REGION_SUBTYPE_DEVICE_STATE),
} as const satisfies Readonly<Record<string, RfcVersion>>;

export type RfcVersionName = keyof typeof RFC_VERSIONS;

const regionCount = (fd: number): number => vfioIoctl(fd, VFIO_DEVICE_GET_INFO, vfio_device_info).num_regions;

/** vfio_get_dev_region_info() */
function findTyped(fd: number, type: number, subtype: number): Region | undefined {
  const count = regionCount(fd);
  for (let index = VFIO_PCI_NUM_REGIONS; index < count; index++) {
    const found = typeOf(fd, index);
    if (found?.type === type && found.subtype === subtype) return new Region(fd, index);
  }
  return undefined;
}

function typeOf(fd: number, index: number): { readonly type: number; readonly subtype: number } | undefined {
  const { argsz } = vfioIoctl(fd, VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, { index });
  if (argsz <= vfio_region_info.size) return undefined;
  const data = callSized(fd, VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, { argsz, index },
    new Uint8Array(argsz - vfio_region_info.size));
  for (let at = vfio_region_info.decode(data).cap_offset; at !== 0;) {
    const header = vfio_info_cap_header.decode(data, at);
    if (header.id === VFIO_REGION_INFO_CAP_TYPE) return vfio_region_info_cap_type.decode(data, at);
    at = header.next;
  }
  return undefined;
}

/** Both versions' arguments are alike. */
function mergeDirty(ask: (argument: Uint8Array) => void, ram: Ram): void {
  const { size } = vfio_iommu_get_dirty_bitmap;
  const argument = new Uint8Array(size + Number(dirtyBitmapBytes(BigInt(ram.pages))));
  vfio_iommu_get_dirty_bitmap.patch(argument, { start_addr: 0n, page_nr: BigInt(ram.pages) });
  ask(argument);
  mergeBitmap(ram, argument.subarray(size));
}
