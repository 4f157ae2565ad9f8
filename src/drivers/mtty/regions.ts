/**
 * Regions of an mtty card: what REGION_INFO says, and how a read or write of any length becomes register accesses.
 * samples/vfio-mdev/mtty.c: mtty_read(), mtty_write(), mdev_access(), mtty_get_region_info().
 */
import { Errno } from '../../abi/errno.js';
import {
  VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR1_REGION_INDEX, VFIO_PCI_BAR5_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
} from '../../abi/vfio.js';
import type { VfioRegion } from '../../vfio/device.js';
import { regionOffset, splitPosition } from '../../vfio/pci-regions.js';
import type { ConfigSpace } from './config-space.js';
import { CONFIG_SPACE_SIZE, IO_BAR_SIZE } from './config-space.js';
import type { Uart } from './uart.js';

/** The driver keeps the offset within a BAR, and that of a config write, in 16 bits. */
const OFFSET_LIMIT = 0x10000;

/** What REGION_INFO says: any index up to VGA is there, readable and writable, most of them with no bytes. */
export function regionInfo(index: number, ports: number): (VfioRegion & { readonly offset: bigint }) | undefined {
  if (index >= VFIO_PCI_NUM_REGIONS) return undefined;
  const flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  return { flags, size: BigInt(regionSize(index, ports)), offset: regionOffset(index) };
}

function regionSize(index: number, ports: number): number {
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) return CONFIG_SPACE_SIZE;
  const isPort = index === VFIO_PCI_BAR0_REGION_INDEX || (index === VFIO_PCI_BAR1_REGION_INDEX && ports === 2);
  return isPort ? IO_BAR_SIZE : 0;
}

/** What the regions give access to. Both ports are there on every card, whatever its type says. */
export interface RegionTargets {
  readonly config: ConfigSpace;
  readonly ports: readonly [Uart, Uart];
}

/** The widest aligned access that fits, as the driver chooses: 4, 2 or 1 bytes. */
function accessWidth(position: number, remaining: number): number {
  if (remaining >= 4 && position % 4 === 0) return 4;
  return remaining >= 2 && position % 2 === 0 ? 2 : 1;
}

/** Throws EFAULT where the position is in no region that can be accessed; earlier accesses have happened. */
export function readRegions(targets: RegionTargets, position: number, size: number): Uint8Array {
  const data = new Uint8Array(size);
  for (let done = 0; done < size;) {
    const width = accessWidth(position + done, size - done);
    readOnce(targets, position + done, data.subarray(done, done + width));
    done += width;
  }
  return data;
}

/** As readRegions(); returns the bytes taken, all of them. */
export function writeRegions(targets: RegionTargets, position: number, data: Uint8Array): number {
  for (let done = 0; done < data.length;) {
    const width = accessWidth(position + done, data.length - done);
    writeOnce(targets, position + done, data.subarray(done, done + width));
    done += width;
  }
  return data.length;
}

function readOnce(targets: RegionTargets, position: number, out: Uint8Array): void {
  const [index, offset] = splitPosition(position);
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) out.set(targets.config.read(offset, out.length));
  else if (index <= VFIO_PCI_BAR5_REGION_INDEX) out[0] = targets.ports[index]?.read(offset % OFFSET_LIMIT) ?? 0;
  else throw new Errno('EFAULT', `region ${index} cannot be read`);
}

function writeOnce(targets: RegionTargets, position: number, data: Uint8Array): void {
  const [index, offset] = splitPosition(position);
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) targets.config.write(offset % OFFSET_LIMIT, data);
  else if (index <= VFIO_PCI_BAR5_REGION_INDEX) targets.ports[index]?.write(offset % OFFSET_LIMIT, data[0] ?? 0);
  else throw new Errno('EFAULT', `region ${index} cannot be written`);
}
