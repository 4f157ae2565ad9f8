/** The vGPU's own structs: the registers that the lab has added to the hardware's, and the migration stream. Little-endian. */
import { bytes, struct, u32, u64 } from '../../abi/layout.js';
import { PCI_CFG_SPACE_SIZE } from '../../abi/pci.js';

/** The lab's page in BAR0, the last one of the hardware's 2 MiB of registers. */
export const LAB_REGISTERS = 0x1f_f000;

/** The DMA engine, at LAB_REGISTERS. */
export const gvt_dma_registers = struct('gvt_dma_registers', {
  /** IOVA */
  address: u64,
  /** Bytes written in a round. */
  length: u64,
  /** Milliseconds between two rounds. */
  interval: u32,
  /** DMA_RUN, DMA_INTERRUPT */
  control: u32,
  /** Of the last round that was written. Read-only, as the next one. */
  sequence: u64,
  /** Accesses to memory that is not mapped, or gone. */
  errors: u64,
});

/** What a stream begins with: of which type it is. It never changes. */
export const gvt_state_header = struct('gvt_state_header', { magic: u64, version: u32, low_gm_size: u32 });
/** "gvtstate" read as a little-endian number. */
export const GVT_STATE_MAGIC = 0x6574_6174_7374_7667n;
export const GVT_STATE_VERSION = 1;

/** After it come the pages of BAR0 that were ever written, ascending: their number, then their content. */
export const gvt_state_body = struct('gvt_state_body', {
  pages: u32,
  reserved: u32,
  dma: gvt_dma_registers,
  config: bytes(PCI_CFG_SPACE_SIZE),
});
export const gvt_state_page = struct('gvt_state_page', { number: u64, content: bytes(4096) });
