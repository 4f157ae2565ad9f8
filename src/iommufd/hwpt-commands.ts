/**
 * IOMMU_GET_HW_INFO, IOMMU_HWPT_*, IOMMU_FAULT_QUEUE_ALLOC and IOMMU_DESTROY.
 * Source: drivers/iommu/iommufd/{device,hw_pagetable,fault,main,io_pagetable}.c.
 *
 * The lab's IOMMU has no type of its own, tracks dirty pages, and nests nothing.
 */
import { lowestBit } from '../abi/bitops.js';
import { Errno } from '../abi/errno.js';
import {
  IOMMU_DESTROY, IOMMU_FAULT_QUEUE_ALLOC, IOMMU_GET_HW_INFO, IOMMU_HW_CAP_DIRTY_TRACKING, IOMMU_HW_INFO_TYPE_NONE, IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HWPT_DATA_NONE, IOMMU_HWPT_DIRTY_TRACKING_ENABLE, IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, IOMMU_HWPT_INVALIDATE, IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommu_destroy, iommu_fault_alloc, iommu_hw_info, iommu_hwpt_alloc, iommu_hwpt_get_dirty_bitmap, iommu_hwpt_invalidate,
  iommu_hwpt_set_dirty_tracking,
} from '../abi/iommufd.js';
import type { Awaitable } from '../kernfs/file.js';
import { command } from './command.js';
import type { Command, CommandCall } from './command.js';
import type { IommufdContext } from './context.js';
import { mergeDirtyBitmap } from './dirty-bitmap.js';
import { FaultQueue, FaultQueueFile } from './fault-queue.js';
import { Hwpt, IommufdDevice } from './hwpt.js';
import { IOVA_MAX } from './iova-map.js';
import { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';

function supported(condition: boolean): void {
  if (!condition) throw new Errno('EOPNOTSUPP');
}

/** iommufd_get_device(): the kernel has no such object for an emulated device; with our dirty tracking there is one. */
function deviceOf(context: IommufdContext, id: number): IommufdDevice {
  if (!context.dirtyTracking) throw new Errno('ENOENT');
  return context.objects.get(id, IommufdDevice);
}

/** Bytes cleared by one write. */
const CLEAR_BYTES = 1 << 16;

/** Beyond this a data_len is taken as this: nobody has so much hardware information to receive. */
const HW_INFO_LIMIT = 1 << 20;

function hwInfo({ context, caller, value, respond }: CommandCall<typeof iommu_hw_info>): void {
  supported(value.flags === 0 && value.__reserved.every((byte) => byte === 0));
  deviceOf(context, value.dev_id);
  const length = Math.min(value.data_len, HW_INFO_LIMIT);
  for (let done = 0; done < length; done += CLEAR_BYTES) {
    caller.write(value.data_uptr + BigInt(done), new Uint8Array(Math.min(CLEAR_BYTES, length - done)));
  }
  respond({
    data_len: 0, out_data_type: IOMMU_HW_INFO_TYPE_NONE, out_max_pasid_log2: 0, out_capabilities: BigInt(IOMMU_HW_CAP_DIRTY_TRACKING),
  });
}

function hwptAlloc({ context, value, respond }: CommandCall<typeof iommu_hwpt_alloc>): void {
  supported(value.__reserved === 0);
  if ((value.data_type === IOMMU_HWPT_DATA_NONE) !== (value.data_len === 0)) throw new Errno('EINVAL', 'data without a type');
  deviceOf(context, value.dev_id);
  const parent = parentOf(context, value.pt_id);
  if (parent instanceof Hwpt) throw new Errno('EOPNOTSUPP', 'no nesting');
  if (!(parent instanceof Ioas)) throw new Errno('EINVAL', 'not an IOAS');
  supported((value.flags & ~(IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_FAULT_ID_VALID)) === 0);
  supported(value.data_type === IOMMU_HWPT_DATA_NONE);
  // Faults need a device that can page; none of ours can.
  supported((value.flags & IOMMU_HWPT_FAULT_ID_VALID) === 0);
  const hwpt = context.objects.add(new Hwpt(parent, (value.flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0));
  try {
    respond({ out_hwpt_id: hwpt.id });
  } catch (error) {
    context.objects.remove(hwpt.id);
    throw error;
  }
}

function parentOf(context: IommufdContext, id: number): IommufdObject {
  try {
    return context.objects.get(id, IommufdObject);
  } catch {
    throw new Errno('EINVAL', `no object ${id}`);
  }
}

function setDirtyTracking({ context, value }: CommandCall<typeof iommu_hwpt_set_dirty_tracking>): void {
  supported((value.flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE) === 0);
  context.objects.get(value.hwpt_id, Hwpt).setTracking((value.flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0);
}

function getDirtyBitmap({ context, caller, value }: CommandCall<typeof iommu_hwpt_get_dirty_bitmap>): Awaitable<void> {
  supported((value.flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) === 0 && value.__reserved === 0);
  const hwpt = context.objects.get(value.hwpt_id, Hwpt);
  const { iova, length, page_size: pageSize } = value;
  const pageShift = checkIovaRange(hwpt.ioas, iova, length, pageSize);
  if (hwpt.log === undefined) throw new Errno('EOPNOTSUPP', 'made without dirty tracking');
  if (!hwpt.tracking) throw new Errno('EINVAL', 'dirty tracking is off');
  if (hwpt.ioas.space.maps.covering(iova, iova + length - 1n) === undefined) throw new Errno('EINVAL', 'not all of it is mapped');
  const target = { memory: caller, address: value.data, iova, length, pageShift };
  return mergeDirtyBitmap(hwpt.log, target, { clear: (value.flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) === 0 });
}

/** iommufd_check_iova_range(). Returns the page size's lowest bit. */
function checkIovaRange(ioas: Ioas, iova: bigint, length: bigint, pageSize: bigint): number {
  if (length === 0n) throw new Errno(iova === 0n ? 'EINVAL' : 'EOVERFLOW');
  const end = iova + length;
  if (end - 1n > IOVA_MAX) throw new Errno('EOVERFLOW');
  const misaligned = (mask: bigint): boolean => ((iova | end) & mask) !== 0n;
  const shift = lowestBit(pageSize);
  if (misaligned(ioas.alignment - 1n) || shift === undefined || misaligned(pageSize - 1n)) throw new Errno('EINVAL', 'alignment');
  return shift;
}

/** Only nested page tables can be invalidated, and there are none. */
function invalidate({ value, respond }: CommandCall<typeof iommu_hwpt_invalidate>): void {
  supported(value.__reserved === 0);
  respond({ entry_num: 0 });
  if (value.entry_num > 0 && (value.data_uptr === 0n || value.entry_len === 0)) throw new Errno('EINVAL');
  throw new Errno('ENOENT', 'not a nested page table');
}

function faultQueueAlloc({ context, caller, value, respond }: CommandCall<typeof iommu_fault_alloc>): void {
  supported(value.flags === 0);
  const queue = context.objects.add(new FaultQueue());
  const file = new FaultQueueFile(queue, context);
  let fd: number;
  try {
    // The reply must be writable before a descriptor is given away: that can't be taken back.
    respond({ out_fault_id: queue.id });
    fd = caller.giveFd(file);
  } catch (error) {
    file.release();
    context.objects.remove(queue.id);
    throw error;
  }
  respond({ out_fault_fd: fd });
}

function destroy({ context, value }: CommandCall<typeof iommu_destroy>): void {
  const object = context.objects.remove(value.id);
  if (object === context.vfioIoas) context.vfioIoas = undefined;
}

export const HWPT_COMMANDS: readonly Command[] = [
  command('IOMMU_DESTROY', IOMMU_DESTROY, iommu_destroy, 'id', destroy),
  command('IOMMU_FAULT_QUEUE_ALLOC', IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, 'out_fault_fd', faultQueueAlloc),
  command('IOMMU_GET_HW_INFO', IOMMU_GET_HW_INFO, iommu_hw_info, '__reserved', hwInfo),
  command('IOMMU_HWPT_ALLOC', IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, '__reserved', hwptAlloc),
  command('IOMMU_HWPT_GET_DIRTY_BITMAP', IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, 'data', getDirtyBitmap),
  command('IOMMU_HWPT_INVALIDATE', IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, '__reserved', invalidate),
  command('IOMMU_HWPT_SET_DIRTY_TRACKING', IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, '__reserved', setDirtyTracking),
];
