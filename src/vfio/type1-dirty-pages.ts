/** VFIO_IOMMU_DIRTY_PAGES. drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_dirty_pages(), vfio_iova_dirty_bitmap(). */
import { Errno } from '../abi/errno.js';
import {
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  vfio_iommu_type1_dirty_bitmap, vfio_iommu_type1_dirty_bitmap_get,
} from '../abi/vfio.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import { copyArgument, copyStruct } from '../kernfs/uaccess.js';
import { IOVA_MAX } from '../iommufd/iova-map.js';
import type { Type1 } from './type1.js';
import { checkBitmap, inTurns, PAGE_SIZE, reportMapping } from './type1-dirty.js';

/** Holds the log between START and STOP. */
const CLIENT = Symbol('VFIO_IOMMU_DIRTY_PAGES');

/** Version 1 has no dirty tracking: EACCES before anything is looked at. */
export function dirtyPages(iommu: Type1, request: FileRequest, argument: bigint): Awaitable<number> {
  if (!iommu.v2) throw new Errno('EACCES');
  const { argsz, flags } = copyArgument(request.caller, argument, vfio_iommu_type1_dirty_bitmap, 'flags');
  switch (flags) {
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
      iommu.startLog(CLIENT);
      return 0;
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
      iommu.stopLog(CLIENT);
      return 0;
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
      if (argsz - vfio_iommu_type1_dirty_bitmap.size < vfio_iommu_type1_dirty_bitmap_get.size) throw new Errno('EINVAL', 'argsz');
      return getBitmap(iommu, request, argument + BigInt(vfio_iommu_type1_dirty_bitmap.size));
    default:
      throw new Errno('EINVAL', 'flags');
  }
}

/** The range may span several mappings but must not cut any. */
function getBitmap(iommu: Type1, request: FileRequest, argument: bigint): Awaitable<number> {
  const { iova, size, bitmap } = copyStruct(request.caller, argument, vfio_iommu_type1_dirty_bitmap_get);
  if (iova + size > IOVA_MAX) throw new Errno('EINVAL', 'wraps');
  checkBitmap(bitmap, size);
  if (bitmap.pgsize !== PAGE_SIZE || (iova & PAGE_SIZE - 1n) !== 0n || (size & PAGE_SIZE - 1n) !== 0n) throw new Errno('EINVAL');
  const { log } = iommu;
  if (log === undefined) throw new Errno('EINVAL', 'not tracking');
  const last = iova + size - 1n;
  iommu.checkNotSplit(iova, last);
  const memory = request.caller.memory();
  const mappings = iommu.space.maps.overlapping(iova, last);
  const done = inTurns(mappings, (mapping) => reportMapping(log, mapping, iova, memory, bitmap.data));
  return done === undefined ? 0 : done.then(() => 0);
}
