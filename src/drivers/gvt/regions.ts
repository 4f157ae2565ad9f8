/** Regions of a vGPU: those of a PCI device, then those of its migration protocol. */
import { Errno } from '../../abi/errno.js';
import { PCI_CFG_SPACE_SIZE } from '../../abi/pci.js';
import {
  VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR2_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
} from '../../abi/vfio.js';
import type { Awaitable, FileRequest } from '../../kernfs/file.js';
import type { Capability } from '../../vfio/capability-chain.js';
import type { VfioRegion } from '../../vfio/device.js';
import type { DeviceRegion } from '../../vfio/device-region.js';
import { regionCapabilities } from '../../vfio/device-region.js';
import { regionOffset, splitPosition } from '../../vfio/pci-regions.js';
import type { Card } from './card.js';
import { MMIO_BAR_SIZE } from './config-space.js';

export interface Regions {
  readonly card: Card;
  /** Bytes in BAR2. */
  readonly apertureSize: number;
  /** Of the migration protocol. */
  readonly own: readonly DeviceRegion[] | undefined;
}

/** One that every vGPU has. */
interface FixedRegion {
  readonly size: (regions: Regions) => number;
  readonly read: (card: Card, offset: number, length: number) => Uint8Array;
  readonly write: (card: Card, offset: number, data: Uint8Array) => void;
}

const FIXED: ReadonlyMap<number, FixedRegion> = new Map([
  [VFIO_PCI_BAR0_REGION_INDEX, {
    size: () => MMIO_BAR_SIZE,
    read: (card, offset, length) => card.readMmio(offset, length),
    write: (card, offset, data) => card.writeMmio(offset, data),
  }],
  [VFIO_PCI_BAR2_REGION_INDEX, {
    size: ({ apertureSize }) => apertureSize,
    read: (card, offset, length) => card.readAperture(offset, length),
    write: (card, offset, data) => card.writeAperture(offset, data),
  }],
  [VFIO_PCI_CONFIG_REGION_INDEX, {
    size: () => PCI_CFG_SPACE_SIZE,
    read: ({ config }, offset, length) => config.read(offset, length),
    write: ({ config }, offset, data) => config.write(offset, data),
  }],
] satisfies [number, FixedRegion][]);
const READ_AND_WRITE = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

/** What REGION_INFO says; undefined for an index that does not exist. */
export function regionInfo(
  regions: Regions, index: number,
): (VfioRegion & { readonly offset: bigint; readonly capabilities?: readonly Capability[] }) | undefined {
  const offset = regionOffset(index);
  if (index < VFIO_PCI_NUM_REGIONS) {
    const fixed = FIXED.get(index);
    return { offset, flags: fixed === undefined ? 0 : READ_AND_WRITE, size: BigInt(fixed?.size(regions) ?? 0) };
  }
  const own = regions.own?.[index - VFIO_PCI_NUM_REGIONS];
  if (own === undefined) return undefined;
  return { offset, flags: own.flags, size: BigInt(own.size), capabilities: regionCapabilities(own) };
}

/** Throws EINVAL outside the regions. */
export function readRegion(regions: Regions, request: FileRequest, position: number, length: number): Awaitable<Uint8Array> {
  const [index, offset] = splitPosition(position);
  const fixed = FIXED.get(index);
  const own = regions.own?.[index - VFIO_PCI_NUM_REGIONS];
  checkRange(offset, length, fixed?.size(regions) ?? own?.size);
  return fixed?.read(regions.card, offset, length) ?? own?.read(request, offset, length) ?? new Uint8Array(0);
}

export function writeRegion(regions: Regions, request: FileRequest, position: number, data: Uint8Array): Awaitable<number> {
  const [index, offset] = splitPosition(position);
  const fixed = FIXED.get(index);
  const own = regions.own?.[index - VFIO_PCI_NUM_REGIONS];
  checkRange(offset, data.length, fixed?.size(regions) ?? own?.size);
  fixed?.write(regions.card, offset, data);
  const done = own?.write(request, offset, data);
  return done === undefined ? data.length : done.then(() => data.length);
}

function checkRange(offset: number, length: number, size = 0): void {
  if (offset + length > size) throw new Errno('EINVAL', 'outside the regions');
}
