/**
 * iommufd. Source: include/uapi/linux/iommufd.h (6.12).
 *
 * Every command takes the address of a struct that begins with its own size; all numbers are `_IO(';', n)`.
 */
import { io } from './ioctl.js';
import { bytes, struct, u16, u32, u64, u8 } from './layout.js';

const IOMMUFD_TYPE = 0x3b;

export const IOMMU_DESTROY = io(IOMMUFD_TYPE, 0x80);
export const IOMMU_IOAS_ALLOC = io(IOMMUFD_TYPE, 0x81);
export const IOMMU_IOAS_ALLOW_IOVAS = io(IOMMUFD_TYPE, 0x82);
export const IOMMU_IOAS_COPY = io(IOMMUFD_TYPE, 0x83);
export const IOMMU_IOAS_IOVA_RANGES = io(IOMMUFD_TYPE, 0x84);
export const IOMMU_IOAS_MAP = io(IOMMUFD_TYPE, 0x85);
export const IOMMU_IOAS_UNMAP = io(IOMMUFD_TYPE, 0x86);
export const IOMMU_OPTION = io(IOMMUFD_TYPE, 0x87);
export const IOMMU_VFIO_IOAS = io(IOMMUFD_TYPE, 0x88);
export const IOMMU_HWPT_ALLOC = io(IOMMUFD_TYPE, 0x89);
export const IOMMU_GET_HW_INFO = io(IOMMUFD_TYPE, 0x8a);
export const IOMMU_HWPT_SET_DIRTY_TRACKING = io(IOMMUFD_TYPE, 0x8b);
export const IOMMU_HWPT_GET_DIRTY_BITMAP = io(IOMMUFD_TYPE, 0x8c);
export const IOMMU_HWPT_INVALIDATE = io(IOMMUFD_TYPE, 0x8d);
export const IOMMU_FAULT_QUEUE_ALLOC = io(IOMMUFD_TYPE, 0x8e);

/** Commands that came after 6.12, with the bytes of their struct that a client must give at least. */
export const IOMMUFD_NEWER_COMMANDS: readonly { readonly name: string; readonly number: number; readonly minimum: number }[] = [
  { name: 'IOMMU_IOAS_MAP_FILE', number: io(IOMMUFD_TYPE, 0x8f), minimum: 40 },
  { name: 'IOMMU_VIOMMU_ALLOC', number: io(IOMMUFD_TYPE, 0x90), minimum: 24 },
  { name: 'IOMMU_VDEVICE_ALLOC', number: io(IOMMUFD_TYPE, 0x91), minimum: 24 },
  { name: 'IOMMU_IOAS_CHANGE_PROCESS', number: io(IOMMUFD_TYPE, 0x92), minimum: 8 },
  { name: 'IOMMU_VEVENTQ_ALLOC', number: io(IOMMUFD_TYPE, 0x93), minimum: 28 },
  { name: 'IOMMU_HW_QUEUE_ALLOC', number: io(IOMMUFD_TYPE, 0x94), minimum: 40 },
];

export const iommu_destroy = struct('iommu_destroy', { size: u32, id: u32 });

export const iommu_ioas_alloc = struct('iommu_ioas_alloc', { size: u32, flags: u32, out_ioas_id: u32 });

/** Both ends are inside the range. */
export const iommu_iova_range = struct('iommu_iova_range', { start: u64, last: u64 });

export const iommu_ioas_iova_ranges = struct('iommu_ioas_iova_ranges', {
  size: u32, ioas_id: u32, num_iovas: u32, __reserved: u32, allowed_iovas: u64, out_iova_alignment: u64,
});

export const iommu_ioas_allow_iovas = struct('iommu_ioas_allow_iovas', {
  size: u32, ioas_id: u32, num_iovas: u32, __reserved: u32, allowed_iovas: u64,
});

export const IOMMU_IOAS_MAP_FIXED_IOVA = 1;
export const IOMMU_IOAS_MAP_WRITEABLE = 2;
export const IOMMU_IOAS_MAP_READABLE = 4;

export const iommu_ioas_map = struct('iommu_ioas_map', {
  size: u32, flags: u32, ioas_id: u32, __reserved: u32, user_va: u64, length: u64, iova: u64,
});

export const iommu_ioas_copy = struct('iommu_ioas_copy', {
  size: u32, flags: u32, dst_ioas_id: u32, src_ioas_id: u32, length: u64, dst_iova: u64, src_iova: u64,
});

export const iommu_ioas_unmap = struct('iommu_ioas_unmap', { size: u32, ioas_id: u32, iova: u64, length: u64 });

export const IOMMU_OPTION_RLIMIT_MODE = 0;
export const IOMMU_OPTION_HUGE_PAGES = 1;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

export const iommu_option = struct('iommu_option', {
  size: u32, option_id: u32, op: u16, __reserved: u16, object_id: u32, val64: u64,
});

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;

export const iommu_vfio_ioas = struct('iommu_vfio_ioas', { size: u32, ioas_id: u32, op: u16, __reserved: u16 });

export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2;
export const IOMMU_HWPT_FAULT_ID_VALID = 4;
export const IOMMU_HWPT_DATA_NONE = 0;
export const IOMMU_HWPT_DATA_VTD_S1 = 1;

export const iommu_hwpt_alloc = struct('iommu_hwpt_alloc', {
  size: u32, flags: u32, dev_id: u32, pt_id: u32, out_hwpt_id: u32, __reserved: u32, data_type: u32, data_len: u32,
  data_uptr: u64, fault_id: u32, __reserved2: u32,
});

export const IOMMU_HW_INFO_TYPE_NONE = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1;

export const iommu_hw_info = struct('iommu_hw_info', {
  size: u32, flags: u32, dev_id: u32, data_len: u32, data_uptr: u64, out_data_type: u32, out_max_pasid_log2: u8,
  __reserved: bytes(3), out_capabilities: u64,
});

export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;

export const iommu_hwpt_set_dirty_tracking = struct('iommu_hwpt_set_dirty_tracking', {
  size: u32, flags: u32, hwpt_id: u32, __reserved: u32,
});

export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

export const iommu_hwpt_get_dirty_bitmap = struct('iommu_hwpt_get_dirty_bitmap', {
  size: u32, hwpt_id: u32, flags: u32, __reserved: u32, iova: u64, length: u64, page_size: u64, data: u64,
});

export const iommu_hwpt_invalidate = struct('iommu_hwpt_invalidate', {
  size: u32, hwpt_id: u32, data_uptr: u64, data_type: u32, entry_len: u32, entry_num: u32, __reserved: u32,
});

export const iommu_fault_alloc = struct('iommu_fault_alloc', { size: u32, flags: u32, out_fault_id: u32, out_fault_fd: u32 });
