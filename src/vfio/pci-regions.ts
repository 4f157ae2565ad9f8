/** Where the regions of a PCI device are in its device file, as in drivers/vfio/pci: include/linux/vfio_pci_core.h. */

/** Regions are this far apart: offset = index * 2^40 + offset within the region. */
export const REGION_STRIDE = 2 ** 40;

export function regionOffset(index: number): bigint {
  return BigInt(index * REGION_STRIDE);
}

/** The region's index and the offset in it. */
export function splitPosition(position: number): readonly [index: number, offset: number] {
  return [Math.floor(position / REGION_STRIDE), position % REGION_STRIDE];
}
