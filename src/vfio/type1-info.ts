/** VFIO_IOMMU_GET_INFO of a type1 container. drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_get_info(). */
import {
  VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_INFO_PGSIZES, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info, vfio_iommu_type1_info_cap_migration, vfio_iommu_type1_info_dma_avail,
} from '../abi/vfio.js';
import type { FileRequest } from '../kernfs/file.js';
import { copyArgument, copyOut } from '../kernfs/uaccess.js';
import { capabilityChain } from './capability-chain.js';
import type { Type1 } from './type1.js';
import { DIRTY_BITMAP_SIZE_MAX, PAGE_SIZE } from './type1-dirty.js';

/** Every size from a page on: with emulated devices only, the host's IOMMU limits nothing, and there is no IOVA range. */
const IOVA_PGSIZES = BigInt.asUintN(64, -PAGE_SIZE);

/** The chain is left out when argsz has no room for it; argsz then says how much is needed. */
export function getInfo(iommu: Type1, request: FileRequest, argument: bigint): number {
  const { argsz } = copyArgument(request.caller, argument, vfio_iommu_type1_info, 'iova_pgsizes');
  const chain = capabilityChain([
    {
      id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, version: 1,
      data: vfio_iommu_type1_info_cap_migration.encode({ pgsize_bitmap: PAGE_SIZE, max_dirty_bitmap_size: DIRTY_BITMAP_SIZE_MAX }),
    },
    { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, data: vfio_iommu_type1_info_dma_avail.encode({ avail: iommu.dmaAvailable }) },
  ], vfio_iommu_type1_info.size);
  const needed = vfio_iommu_type1_info.size + chain.length;
  const fits = argsz >= needed;
  if (fits) request.caller.write(argument + BigInt(vfio_iommu_type1_info.size), chain);
  const answer = {
    argsz: fits ? argsz : needed,
    flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
    iova_pgsizes: IOVA_PGSIZES,
    cap_offset: fits ? vfio_iommu_type1_info.size : 0,
  };
  const through = argsz >= vfio_iommu_type1_info.offsetofend('cap_offset') ? 'cap_offset' : 'iova_pgsizes';
  copyOut(request.caller, argument, vfio_iommu_type1_info, answer, through);
  return 0;
}
