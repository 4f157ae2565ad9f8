/**
 * Capability chains: what VFIO appends to an info struct. drivers/vfio/vfio_main.c: vfio_info_cap_add(), vfio_info_cap_shift().
 *
 * Every entry begins with struct vfio_info_cap_header, whose `next` is the offset of the following entry from the start of the
 * info struct. Entries are 8-byte aligned.
 */
import { vfio_info_cap_header } from '../abi/vfio.js';

export interface Capability {
  readonly id: number;
  readonly version: number;
  /** The whole struct; its header is filled in here. */
  readonly data: Uint8Array;
}

/** The chain's bytes for an info struct of `infoSize` bytes (where the chain starts); empty for no capabilities. */
export function capabilityChain(capabilities: readonly Capability[], infoSize: number): Uint8Array {
  const sizes = capabilities.map(({ data }) => data.length + 7 & ~7);
  const chain = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let offset = 0;
  capabilities.forEach(({ id, version, data }, index) => {
    chain.set(data, offset);
    const end = offset + (sizes[index] ?? 0);
    vfio_info_cap_header.patch(chain, { id, version, next: end < chain.length ? infoSize + end : 0 }, offset);
    offset = end;
  });
  return chain;
}
