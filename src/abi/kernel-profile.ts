/**
 * Where one kernel version answers otherwise than another, for every layer: the one table. 6.12 is the default. What the kernels
 * really answered is in test/golden/kernel-differences.jsonl.gz; what a lab can't follow is in docs/differences.md.
 */
import type { ErrnoName } from './errno.js';

export interface KernelProfile {
  /** Largest size that an attribute can be truncated to, bytes (it changes nothing). Later kernels lifted MAX_NON_LFS. */
  readonly truncateLimit: number;
  /** listxattr(): descending by name (a tree), or as they were set. */
  readonly xattrOrder: 'by-name' | 'as-set';
  /** fstat() of what was removed: the link count stays as it was, or is 0. */
  readonly removedLinks: 'kept' | 'none';
  /** VFIO_TYPE1_NESTING_IOMMU is an IOMMU type; later kernels dropped it. */
  readonly type1Nesting: boolean;
  /** Devices that migrate have VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2. */
  readonly precopyInfoV2: boolean;
  /** MAP_DMA and UNMAP_DMA of a range beyond the end of the address space. */
  readonly dmaWrap: ErrnoName;
  /** Unknown flags in ATTACH_IOMMUFD_PT and DETACH_IOMMUFD_PT; later kernels know some, which need PASIDs. */
  readonly attachFlags: ErrnoName;
  /** _IOC_NR() of the first number after the last command of /dev/iommu. */
  readonly iommufdEnd: number;
}

export const KERNEL_PROFILES = {
  '6.12': {
    truncateLimit: 0x7fffffff, xattrOrder: 'by-name', removedLinks: 'kept',
    type1Nesting: true, precopyInfoV2: false, dmaWrap: 'EINVAL', attachFlags: 'EINVAL', iommufdEnd: 0x8f,
  },
  '7.2': {
    truncateLimit: Infinity, xattrOrder: 'as-set', removedLinks: 'none',
    type1Nesting: false, precopyInfoV2: true, dmaWrap: 'EOVERFLOW', attachFlags: 'EOPNOTSUPP', iommufdEnd: 0x95,
  },
} as const satisfies Record<string, KernelProfile>;

export type KernelVersion = keyof typeof KERNEL_PROFILES;

export const DEFAULT_KERNEL: KernelVersion = '6.12';
export const DEFAULT_PROFILE: KernelProfile = KERNEL_PROFILES[DEFAULT_KERNEL];
