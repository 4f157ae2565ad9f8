/**
 * Regions that a device has beyond those of its kind: found by the type and subtype in their capability, with indexes after the
 * fixed ones. drivers/vfio/pci/vfio_pci_core.c: vfio_pci_core_register_dev_region().
 */
import { VFIO_REGION_INFO_CAP_TYPE, vfio_region_info_cap_type } from '../abi/vfio.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import type { Capability } from './capability-chain.js';

export interface DeviceRegion {
  /** Without a type it is found by its index. */
  readonly type?: number;
  readonly subtype?: number;
  /** Bytes. */
  readonly size: number;
  /** VFIO_REGION_INFO_FLAG_*, without _CAPS. */
  readonly flags: number;
  /** `offset` is in the region, and so is the whole range. Throws the errno. */
  read(request: FileRequest, offset: number, length: number): Awaitable<Uint8Array>;
  write(request: FileRequest, offset: number, data: Uint8Array): Awaitable<void>;
}

/** What REGION_INFO says besides size and flags. */
export function regionCapabilities({ type, subtype = 0 }: DeviceRegion): readonly Capability[] {
  if (type === undefined) return [];
  return [{ id: VFIO_REGION_INFO_CAP_TYPE, version: 1, data: vfio_region_info_cap_type.encode({ type, subtype }) }];
}
