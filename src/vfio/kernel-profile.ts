/** Where the VFIO of one kernel version answers otherwise than that of another. One table; 6.12 is the default. */
import type { ErrnoName } from '../abi/errno.js';

export interface VfioKernelProfile {
  /** VFIO_TYPE1_NESTING_IOMMU is an IOMMU type; later kernels dropped it. */
  readonly type1Nesting: boolean;
  /** Devices that migrate have VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2. */
  readonly precopyInfoV2: boolean;
  /** MAP_DMA and UNMAP_DMA of a range beyond the end of the address space. */
  readonly dmaWrap: ErrnoName;
}

export const VFIO_KERNEL_PROFILES = {
  '6.12': { type1Nesting: true, precopyInfoV2: false, dmaWrap: 'EINVAL' },
  '7.2': { type1Nesting: false, precopyInfoV2: true, dmaWrap: 'EOVERFLOW' },
} as const satisfies Record<string, VfioKernelProfile>;

export type VfioKernel = keyof typeof VFIO_KERNEL_PROFILES;
