/** Where the VFIO of one kernel version answers otherwise than that of another. One table; 6.12 is the default. */
import type { ErrnoName } from '../abi/errno.js';

export interface VfioKernelProfile {
  /** VFIO_TYPE1_NESTING_IOMMU is an IOMMU type; later kernels dropped it. */
  readonly type1Nesting: boolean;
  /** MAP_DMA and UNMAP_DMA of a range beyond the end of the address space. */
  readonly dmaWrap: ErrnoName;
}

export const VFIO_KERNEL_PROFILES = {
  '6.12': { type1Nesting: true, dmaWrap: 'EINVAL' },
  '7.2': { type1Nesting: false, dmaWrap: 'EOVERFLOW' },
} as const satisfies Record<string, VfioKernelProfile>;

export type VfioKernel = keyof typeof VFIO_KERNEL_PROFILES;
