/**
 * GET_DIRTY_BITMAP of the 2017 and 2018 proposals: of a device in the first version, of its container later.
 *
 * It tells the pages that were written since the device (the first such device of the container) was opened, and forgets none: in
 * the kernel it told what was pinned. A container's log is part of its mappings, so UNMAP_DMA clears it there, but not the device's
 * own of the first version. Nothing is checked but that memory can be read and written: there is no argsz.
 */
import { Errno } from '../abi/errno.js';
import { dirtyBitmapBytes, VFIO_IOMMU_GET_DIRTY_BITMAP, vfio_iommu_get_dirty_bitmap } from '../abi/vfio-rfc.js';
import type { DirtyLog } from '../iommufd/dirty-log.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import { copyStruct, isUserRange } from '../kernfs/uaccess.js';
import { ioctlTable } from './ioctl.js';
import type { IoctlOverride, Type1 } from './type1.js';
import { bitmapBytes, DIRTY_BITMAP_PAGES_MAX, PAGE_SHIFT, PAGE_SIZE, reportMapping } from './type1-dirty.js';

/** The two versions' structs are alike. */
type Argument = typeof vfio_iommu_get_dirty_bitmap;

/** Throws EFAULT, and ENOMEM for more pages than a bitmap may have. */
export function getDirtyBitmap(log: DirtyLog, { caller }: FileRequest, argument: bigint, layout: Argument): Awaitable<number> {
  const { start_addr, page_nr } = copyStruct(caller, argument, layout);
  if (page_nr > DIRTY_BITMAP_PAGES_MAX) throw new Errno('ENOMEM', 'bitmap');
  const bitmap = argument + BigInt(layout.size);
  if (!isUserRange(bitmap, dirtyBitmapBytes(page_nr))) throw new Errno('EFAULT');
  const memory = caller.memory();
  const finish = (): number => {
    const written = bitmapBytes(page_nr);
    memory.write(bitmap + written, new Uint8Array(Number(dirtyBitmapBytes(page_nr) - written)));
    return 0;
  };
  if (page_nr === 0n) return finish();
  const iova = start_addr & ~(PAGE_SIZE - 1n);
  const told = reportMapping(log, { iova, last: iova + (page_nr << PAGE_SHIFT) - 1n }, iova, memory, bitmap, true);
  return told === undefined ? finish() : told.then(finish);
}

const OVERRIDE: IoctlOverride = { kind: 'vfio-container rfc', ioctls: ioctlTable<Type1>([
  [VFIO_IOMMU_GET_DIRTY_BITMAP, 'VFIO_IOMMU_GET_DIRTY_BITMAP', ({ log }, request, argument) => {
    if (log === undefined) throw new Errno('EINVAL', 'no log');
    return getDirtyBitmap(log, request, argument, vfio_iommu_get_dirty_bitmap);
  }],
]) };

/**
 * A container that holds a device of the later versions answers VFIO_BASE+17 as the kernel that they were proposed for: as
 * GET_DIRTY_BITMAP, no longer as VFIO_IOMMU_DIRTY_PAGES. Returns what undoes it.
 */
export function attachRfcContainer(iommu: Type1): () => void {
  const device = Symbol('rfc device');
  iommu.startLog(device);
  const restore = iommu.overrideIoctls(OVERRIDE);
  return () => {
    restore();
    iommu.stopLog(device);
  };
}
