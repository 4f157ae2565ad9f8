/**
 * The interface of vfio_ap that is not in every kernel's headers: the interrupt for configuration changes (Linux 6.16), and what
 * the posted series "s390/vfio-ap: Implement live guest migration of guests using AP devices" adds: interrupts 2 and 3 and the
 * capability in its first version only, the stream in all of them.
 */
import { bytes, s32, struct, u16, u32, u64 } from './layout.js';
import { vfio_info_cap_header } from './vfio.js';

export const VFIO_AP_CFG_CHG_IRQ_INDEX = 1;
/** The number of indexes with it, without those of the series. */
export const VFIO_AP_NUM_IRQS = 2;

/* v1 */
export const VFIO_AP_ENABLE_MIG_IRQ_INDEX = 2;
export const VFIO_AP_DISABLE_MIG_IRQ_INDEX = 3;
export const VFIO_AP_NUM_IRQS_V1 = 4;

/** Of GET_INFO in v1. The number is also that of VFIO_DEVICE_INFO_CAP_ZPCI_BASE. */
export const VFIO_DEVINFO_CAP_AP_ATTRS_ID = 1;
export const VFIO_DEVINFO_CAP_AP_ATTRS_VERSION = 1;
export const vfio_device_info_cap_ap_attrs = struct('vfio_device_info_cap_ap_attrs', {
  header: vfio_info_cap_header,
  /** Content of the attribute, 0 or 1. */
  migratable: s32,
});

/** Begins the stream; `num_queues` times vfio_ap_queue_info follows. v1 leaves the padding unnamed; the bytes are the same. */
export const vfio_ap_config = struct('vfio_ap_config', { num_queues: u32, reserved: bytes(4) });

export const vfio_ap_queue_info = struct('vfio_ap_queue_info', {
  /** General register 2 of PQAP(TAPQ): what the queue's hardware can do. */
  data: u64,
  /** Adapter in the upper byte, domain in the lower. */
  apqn: u16,
  reserved: bytes(6),
});
