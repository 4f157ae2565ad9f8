/**
 * Helpers for a driver's device ioctls: the info structs are copied in, checked and answered here; what they say is the
 * driver's. A driver that needs an order of its own (mtty wants GET_INFO before anything else) calls them in that order.
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_FLAGS_CAPS, VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS, VFIO_REGION_INFO_FLAG_CAPS, vfio_device_info, vfio_irq_info, vfio_region_info,
} from '../abi/vfio.js';
import type { Caller } from '../kernfs/caller.js';
import { copyArgument, copyOut } from '../kernfs/uaccess.js';
import { capabilityChain } from './capability-chain.js';
import type { Capability } from './capability-chain.js';
import type { VfioIrq, VfioRegion } from './device.js';
import { ioctlTable } from './ioctl.js';

/** What a PCI device's driver answers; each as the ioctl of that name. */
export interface PciDeviceIoctls {
  getInfo(caller: Caller, argument: bigint): number;
  getRegionInfo(caller: Caller, argument: bigint): number;
  getIrqInfo(caller: Caller, argument: bigint): number;
  setIrqs(caller: Caller, argument: bigint): number;
  reset(): number;
}

export const PCI_DEVICE_IOCTLS = ioctlTable<PciDeviceIoctls>([
  [VFIO_DEVICE_GET_INFO, 'VFIO_DEVICE_GET_INFO', (device, { caller }, argument) => device.getInfo(caller, argument)],
  [VFIO_DEVICE_GET_REGION_INFO, 'VFIO_DEVICE_GET_REGION_INFO',
    (device, { caller }, argument) => device.getRegionInfo(caller, argument)],
  [VFIO_DEVICE_GET_IRQ_INFO, 'VFIO_DEVICE_GET_IRQ_INFO', (device, { caller }, argument) => device.getIrqInfo(caller, argument)],
  [VFIO_DEVICE_SET_IRQS, 'VFIO_DEVICE_SET_IRQS', (device, { caller }, argument) => device.setIrqs(caller, argument)],
  [VFIO_DEVICE_RESET, 'VFIO_DEVICE_RESET', (device) => device.reset()],
]);

export interface DeviceInfo {
  /** VFIO_DEVICE_FLAGS_*, without _CAPS. */
  readonly flags: number;
  readonly num_regions: number;
  readonly num_irqs: number;
  readonly capabilities?: readonly Capability[];
}

/** VFIO_DEVICE_GET_INFO. Without capabilities it writes what every version has, 16 bytes, and leaves argsz. */
export function answerDeviceInfo(caller: Caller, argument: bigint, info: DeviceInfo): number {
  const { argsz } = copyArgument(caller, argument, vfio_device_info, 'num_irqs');
  const { flags, num_regions, num_irqs } = info;
  const chain = capabilityChain(info.capabilities ?? [], vfio_device_info.size);
  const placed = placeChain(caller, argument, argsz, vfio_device_info.size, chain);
  const answer = { ...placed, num_regions, num_irqs, flags: chain.length > 0 ? flags | VFIO_DEVICE_FLAGS_CAPS : flags };
  const withOffset = chain.length > 0 && argsz >= vfio_device_info.offsetofend('cap_offset');
  copyOut(caller, argument, vfio_device_info, answer, withOffset ? 'cap_offset' : 'num_irqs');
  return 0;
}

/**
 * VFIO_DEVICE_GET_REGION_INFO. `regionAt` gives the region of an index, undefined for one that does not exist (EINVAL), and
 * `offset` is where it begins in the device file.
 */
export function answerRegionInfo(
  caller: Caller, argument: bigint,
  regionAt: (index: number) => (VfioRegion & { readonly offset: bigint; readonly capabilities?: readonly Capability[] }) | undefined,
): number {
  const { argsz, index } = copyArgument(caller, argument, vfio_region_info, 'offset');
  const region = regionAt(index);
  if (region === undefined) throw new Errno('EINVAL', 'no such region');
  const chain = capabilityChain(region.capabilities ?? [], vfio_region_info.size);
  const flags = chain.length > 0 ? region.flags | VFIO_REGION_INFO_FLAG_CAPS : region.flags;
  const placed = placeChain(caller, argument, argsz, vfio_region_info.size, chain);
  copyOut(caller, argument, vfio_region_info, { ...placed, flags, index, size: region.size, offset: region.offset });
  return 0;
}

/** VFIO_DEVICE_GET_IRQ_INFO. `irqAt` gives the interrupts of an index, undefined for one that does not exist (EINVAL). */
export function answerIrqInfo(caller: Caller, argument: bigint, irqAt: (index: number) => VfioIrq | undefined): number {
  const { argsz, index } = copyArgument(caller, argument, vfio_irq_info, 'count');
  const irq = irqAt(index);
  if (irq === undefined) throw new Errno('EINVAL', 'no such interrupt');
  copyOut(caller, argument, vfio_irq_info, { argsz, index, flags: irq.flags, count: irq.count });
  return 0;
}

/** Writes the chain where argsz has room for it, else tells in argsz how much is needed. */
function placeChain(
  caller: Caller, argument: bigint, argsz: number, infoSize: number, chain: Uint8Array,
): { readonly argsz: number; readonly cap_offset: number } {
  if (chain.length === 0) return { argsz, cap_offset: 0 };
  if (argsz < infoSize + chain.length) return { argsz: infoSize + chain.length, cap_offset: 0 };
  caller.write(argument + BigInt(infoSize), chain);
  return { argsz, cap_offset: infoSize };
}
