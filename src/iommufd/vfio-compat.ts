/**
 * VFIO's container ioctls on an iommufd, which then stands in for /dev/vfio/vfio. They act on the IOAS set by
 * IOMMU_VFIO_IOAS or made by the first VFIO_GROUP_SET_CONTAINER. Source: drivers/iommu/iommufd/vfio_compat.c.
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL, VFIO_GET_API_VERSION, VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  VFIO_IOMMU_UNMAP_DMA, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL, vfio_info_cap_header, vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap, vfio_iommu_type1_info, vfio_iommu_type1_info_cap_iova_range, vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '../abi/vfio.js';
import type { Caller } from '../kernfs/caller.js';
import { copyArgument } from '../kernfs/uaccess.js';
import type { IommufdContext } from './context.js';
import { userPages } from './ioas-commands.js';
import type { Ioas } from './ioas.js';
import { IOVA_MAX, IOVA_READ, IOVA_WRITE } from './iova-map.js';

/** iommufd_vfio_ioctl(). Throws ENOTTY for any other number. */
export function vfioCompat(context: IommufdContext, caller: Caller, command: number, argument: bigint): number {
  switch (command) {
    case VFIO_GET_API_VERSION: return VFIO_API_VERSION;
    case VFIO_CHECK_EXTENSION: return checkExtension(context, argument);
    case VFIO_SET_IOMMU: return setIommu(context, argument);
    case VFIO_IOMMU_GET_INFO: return getInfo(context, caller, argument);
    case VFIO_IOMMU_MAP_DMA: return mapDma(context, caller, argument);
    case VFIO_IOMMU_UNMAP_DMA: return unmapDma(context, caller, argument);
    case VFIO_IOMMU_DIRTY_PAGES: throw new Errno('EOPNOTSUPP');
    default: throw new Errno('ENOTTY');
  }
}

/** get_compat_ioas() */
function compatIoas(context: IommufdContext): Ioas {
  if (context.vfioIoas === undefined) throw new Errno('ENODEV', 'no IOAS is set for VFIO');
  return context.vfioIoas;
}

function checkExtension(context: IommufdContext, type: bigint): number {
  switch (Number(type & 0xffff_ffffn)) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
      return 1;
    case VFIO_DMA_CC_IOMMU:
      compatIoas(context);
      return 1;
    default:
      return 0;
  }
}

/** Version 1 may unmap parts of mappings; that is what `hugePages` off allows. */
function setIommu(context: IommufdContext, type: bigint): number {
  if (type !== BigInt(VFIO_TYPE1_IOMMU) && type !== BigInt(VFIO_TYPE1v2_IOMMU)) throw new Errno('EINVAL');
  const ioas = compatIoas(context);
  if (type === BigInt(VFIO_TYPE1_IOMMU)) ioas.setHugePages(false);
  return 0;
}

function mapDma(context: IommufdContext, caller: Caller, argument: bigint): number {
  const value = copyArgument(caller, argument, vfio_iommu_type1_dma_map, 'size');
  if ((value.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) !== 0) throw new Errno('EINVAL', 'flags');
  const prot = ((value.flags & VFIO_DMA_MAP_FLAG_READ) === 0 ? 0 : IOVA_READ) | ((value.flags & VFIO_DMA_MAP_FLAG_WRITE) === 0 ? 0 : IOVA_WRITE);
  const ioas = compatIoas(context);
  ioas.map([userPages(caller, value.vaddr, value.size, prot)], prot, value.iova);
  return 0;
}

function unmapDma(context: IommufdContext, caller: Caller, argument: bigint): number {
  const value = copyArgument(caller, argument, vfio_iommu_type1_dma_unmap, 'size');
  if ((value.flags & ~VFIO_DMA_UNMAP_FLAG_ALL) !== 0) throw new Errno('EINVAL', 'flags');
  const all = (value.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  const ioas = compatIoas(context);
  if (all && (value.iova !== 0n || value.size !== 0n)) throw new Errno('EINVAL', 'a range with UNMAP_ALL');
  const reply = (size: bigint): void => {
    const data = vfio_iommu_type1_dma_unmap.encode({ ...value, size });
    caller.write(argument, data.subarray(0, vfio_iommu_type1_dma_unmap.offsetofend('size')));
  };
  try {
    if (!all && !ioas.hugePages && value.size > 0n) ioas.cut(value.iova, value.iova + value.size - 1n);
    reply(all ? ioas.unmapAll() : ioas.unmap(value.iova, value.size));
  } catch (error) {
    reply(0n);
    throw error;
  }
  return 0;
}

/** iommufd_vfio_iommu_get_info(): both capabilities, or as many as fit; argsz says what all of it takes. */
function getInfo(context: IommufdContext, caller: Caller, argument: bigint): number {
  const { argsz } = copyArgument(caller, argument, vfio_iommu_type1_info, 'iova_pgsizes');
  const minimum = Math.min(argsz, vfio_iommu_type1_info.size);
  const ioas = compatIoas(context);
  const capabilities = [
    { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, header: vfio_iommu_type1_info_dma_avail.encode({ avail: 0xffff_ffff }), tail: new Uint8Array(0) },
    {
      id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, header: vfio_iommu_type1_info_cap_iova_range.encode({ nr_iovas: 1 }),
      tail: vfio_iova_range.encode({ start: 0n, end: IOVA_MAX }),
    },
  ];
  let total = vfio_iommu_type1_info.size;
  capabilities.forEach(({ id, header, tail }, index) => {
    const bytes = Uint8Array.from([...header, ...tail]);
    const end = total + Math.ceil(bytes.length / 8) * 8;
    const next = index + 1 < capabilities.length && argsz >= end ? end : 0;
    vfio_info_cap_header.patch(bytes, { id, version: 1, next });
    if (argsz >= total + bytes.length) caller.write(argument + BigInt(total), bytes);
    total = end;
  });
  const info = vfio_iommu_type1_info.encode({
    argsz: total, flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
    iova_pgsizes: ioas.hugePages ? IOVA_MAX - 0xfffn : 0x1000n, cap_offset: argsz >= total ? vfio_iommu_type1_info.size : 0,
  });
  caller.write(argument, info.subarray(0, minimum));
  return 0;
}
