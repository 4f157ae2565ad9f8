/**
 * The live migration of mediated devices that was proposed in 2017 and 2018 and never merged, as data. Three versions: v1 with
 * ioctls of its own, the next one (2017) and v3 (2018) with a region that is found by its type.
 *
 * No installed header has any of it, so scripts/abi-offsets can't check it: test/abi/vfio-rfc.test.ts gives the definitions to a
 * C compiler instead. What is marked [memory] was not found in any source that is left: names and structs are the proposal's, but
 * the number may have been another. Most numbers have another meaning by now; docs/differences.md lists them.
 */
import { struct, u32, u64 } from './layout.js';
import { io } from './ioctl.js';
import { VFIO_BASE, VFIO_PCI_NUM_REGIONS, VFIO_REGION_TYPE_PCI_VENDOR_TYPE, VFIO_TYPE } from './vfio.js';

/* v1. */

/** Of struct vfio_device_info. [memory]: the bit is uncertain, so nobody should go by it; today it is VFIO_DEVICE_FLAGS_AP. */
export const VFIO_DEVICE_FLAGS_MIGRATABLE = 1 << 5;
/** A fixed index after VGA: the whole region is the device's state. [memory] */
export const VFIO_PCI_DEVICE_STATE_REGION_INDEX = VFIO_PCI_NUM_REGIONS;

/** Stops or starts the device. [memory]; today VFIO_DEVICE_QUERY_GFX_PLANE. */
export const VFIO_DEVICE_PCI_STATUS_SET = io(VFIO_TYPE, VFIO_BASE + 14);
/** [memory] */
export const vfio_device_status_set = struct('vfio_device_status_set', { argsz: u32, flags: u32 });
export const VFIO_DEVICE_PCI_STOP = 1 << 0;
export const VFIO_DEVICE_PCI_START = 1 << 1;

/** Asks a device which pages it may have written. [memory]; today VFIO_DEVICE_GET_GFX_DMABUF. */
export const VFIO_DEVICE_PCI_GET_DIRTY_BITMAP = io(VFIO_TYPE, VFIO_BASE + 15);
/** `dirty_bitmap` follows: dirtyBitmapBytes(page_nr). start_addr: bytes, an IOVA. [memory] */
export const vfio_pci_get_dirty_bitmap = struct('vfio_pci_get_dirty_bitmap', { start_addr: u64, page_nr: u64 });

/* The later versions: a region found by its type. */

/** 2017. */
export const VFIO_REGION_TYPE_PCI_VENDOR_INTEL = (VFIO_REGION_TYPE_PCI_VENDOR_TYPE | 0x8086) >>> 0;
export const VFIO_REGION_SUBTYPE_DEVICE_STATE_2017 = 4;
/** v3, 2018. */
export const VFIO_REGION_TYPE_DEVICE_STATE = 1 << 30;
export const VFIO_REGION_SUBTYPE_DEVICE_STATE = 1;

/** Byte 0 of the region: one of these two, read and written by itself. */
export const VFIO_DEVICE_START = 0;
export const VFIO_DEVICE_STOP = 1;
/** Where the state begins in the region. */
export const VFIO_DEVICE_STATE_OFFSET = 1;

/** Of a container: which pages its devices may have written. Today VFIO_IOMMU_DIRTY_PAGES. */
export const VFIO_IOMMU_GET_DIRTY_BITMAP = io(VFIO_TYPE, VFIO_BASE + 17);
/** `dirty_bitmap` follows: dirtyBitmapBytes(page_nr). start_addr: bytes, an IOVA. */
export const vfio_iommu_get_dirty_bitmap = struct('vfio_iommu_get_dirty_bitmap', { start_addr: u64, page_nr: u64 });

/** Bytes of `dirty_bitmap`: longs of 64 bits, and one more than are needed. A bit per page, the first one lowest. */
export function dirtyBitmapBytes(pages: bigint): bigint {
  return ((pages + 63n) / 64n + 1n) * 8n;
}

/**
 * What the state in the region begins with, as the image of a vGPU in v3 did: a header of the image, which tells how many bytes
 * of the region are in use. The rest of the image is the driver's. (That of v3 had a version and a checksum besides.)
 */
export const gvt_image_header = struct('gvt_image_header', { type: u32, size: u32, data_size: u64 });
export const GVT_MIGRATION_HEAD = 1;
