/**
 * PCI configuration space of a vGPU, driven by a table of the bits that can be written. Source:
 * drivers/gpu/drm/i915/gvt/cfg_space.c: pci_cfg_space_rw_bmp[], vgpu_pci_cfg_mem_write().
 */
import {
  PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_2, PCI_BASE_ADDRESS_MEM_PREFETCH, PCI_BASE_ADDRESS_MEM_TYPE_64, PCI_CACHE_LINE_SIZE,
  PCI_CAP_ID_MSI, PCI_CFG_SPACE_SIZE, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_LINE, PCI_MSI_ADDRESS_HI, PCI_MSI_ADDRESS_LO, PCI_MSI_DATA_64, PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE, PCI_STATUS_CAP_LIST,
} from '../../abi/pci.js';
import { PCI_CLASS_DISPLAY_VGA, pci_header_type0 } from '../../abi/pci-header.js';

export const INTEL_VENDOR_ID = 0x8086;
/** HD Graphics 530 of a desktop Skylake: the generation that the types' V5 stands for. */
export const GPU_DEVICE_ID = 0x1912;
export const GPU_SUBSYSTEM_ID = 0x2212;
export const GPU_REVISION = 0x06;

/** Bytes in BAR0: registers, and from the middle on the translation table. */
export const MMIO_BAR_SIZE = 16 << 20;
const MSI_CAPABILITY = 0xac;

interface WritableBits {
  readonly offset: number;
  /** The value's bytes, little-endian. */
  readonly bits: bigint;
  readonly size: 1 | 2 | 4 | 8;
}

/** A BAR of 64 bits: what is below its size reads as its type. */
const bar = (offset: number, size: number): WritableBits =>
  ({ offset, size: 8, bits: (1n << 64n) - BigInt(size) });

/** `aperture`: bytes in BAR2. */
const writableBits = (aperture: number): readonly WritableBits[] => [
  { offset: PCI_COMMAND, size: 2, bits: BigInt(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE) },
  { offset: PCI_CACHE_LINE_SIZE, size: 1, bits: 0xffn },
  bar(PCI_BASE_ADDRESS_0, MMIO_BAR_SIZE),
  bar(PCI_BASE_ADDRESS_2, aperture),
  { offset: PCI_INTERRUPT_LINE, size: 1, bits: 0xffn },
  { offset: MSI_CAPABILITY + PCI_MSI_FLAGS, size: 2, bits: BigInt(PCI_MSI_FLAGS_ENABLE) },
  { offset: MSI_CAPABILITY + PCI_MSI_ADDRESS_LO, size: 4, bits: 0xffff_fffcn },
  { offset: MSI_CAPABILITY + PCI_MSI_ADDRESS_HI, size: 4, bits: 0xffff_ffffn },
  { offset: MSI_CAPABILITY + PCI_MSI_DATA_64, size: 2, bits: 0xffffn },
];

function maskOf(rows: readonly WritableBits[]): Uint8Array {
  const mask = new Uint8Array(PCI_CFG_SPACE_SIZE);
  for (const { offset, bits, size } of rows) {
    for (let n = 0; n < size; n++) mask[offset + n] = Number(bits >> BigInt(8 * n) & 0xffn);
  }
  return mask;
}

/** As after power-on. */
export function initialConfigSpace(): Uint8Array {
  const content = new Uint8Array(PCI_CFG_SPACE_SIZE);
  content.set(pci_header_type0.encode({
    vendor_id: INTEL_VENDOR_ID,
    device_id: GPU_DEVICE_ID,
    status: PCI_STATUS_CAP_LIST,
    revision_id: GPU_REVISION,
    class_device: PCI_CLASS_DISPLAY_VGA,
    base_address_0: PCI_BASE_ADDRESS_MEM_TYPE_64,
    base_address_2: PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH,
    subsystem_vendor_id: INTEL_VENDOR_ID,
    subsystem_id: GPU_SUBSYSTEM_ID,
    capability_list: MSI_CAPABILITY,
    interrupt_pin: 1,
  }));
  content[MSI_CAPABILITY] = PCI_CAP_ID_MSI;
  content[MSI_CAPABILITY + PCI_MSI_FLAGS] = PCI_MSI_FLAGS_64BIT;
  return content;
}

export class ConfigSpace {
  readonly #writable: Uint8Array;
  #content = initialConfigSpace();

  /** `aperture`: bytes in BAR2, a power of two. */
  constructor(aperture: number) {
    this.#writable = maskOf(writableBits(aperture));
  }

  /** The range lies in the 256 bytes. */
  read(offset: number, length: number): Uint8Array {
    return this.#content.slice(offset, offset + length);
  }

  write(offset: number, data: Uint8Array): void {
    data.forEach((value, n) => {
      const mask = this.#writable[offset + n] ?? 0;
      const before = this.#content[offset + n] ?? 0;
      this.#content[offset + n] = before & ~mask | value & mask;
    });
  }

  reset(): void {
    this.#content = initialConfigSpace();
  }

  /** All 256 bytes, for a migration stream. */
  save(): Uint8Array {
    return this.#content.slice();
  }

  /** What can't be written stays as it is, whatever the stream says. */
  load(content: Uint8Array): void {
    this.write(0, content.subarray(0, PCI_CFG_SPACE_SIZE));
  }
}
