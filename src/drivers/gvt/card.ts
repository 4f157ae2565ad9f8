/** Card: what is in a vGPU: configuration space, BAR0 with registers and translation table, DMA, interrupts; and its state. */
import { PciInterrupts } from '../../vfio/pci-interrupts.js';
import { ConfigSpace, MMIO_BAR_SIZE } from './config-space.js';
import { DmaEngine } from './dma.js';
import { gvt_dma_registers, LAB_REGISTERS } from './layout.js';
import { eachPart, SparseMemory } from './sparse-memory.js';

/** Where in BAR0 the translation table begins: 8 bytes for each page of graphics memory. */
export const GTT_OFFSET = 8 << 20;
const GTT_ENTRY_SIZE = 8;
const GTT_VALID = 1n;
/** Bits of a table entry that are an address. */
const GTT_ADDRESS = 0x7f_ffff_f000n;
/** The registers of the DMA engine that a client can write come first. */
const DMA_WRITABLE = gvt_dma_registers.offsetofend('control');

export class Card {
  readonly config: ConfigSpace;
  readonly memory = new SparseMemory(MMIO_BAR_SIZE);
  readonly interrupts = new PciInterrupts();
  readonly dma = new DmaEngine(() => this.interrupts.triggerInterrupt());

  /** `aperture`: bytes in BAR2. */
  constructor(aperture: number) {
    this.config = new ConfigSpace(aperture);
  }

  /** BAR0. The range lies in it, as in all of these. */
  readMmio(offset: number, length: number): Uint8Array {
    const data = this.memory.read(offset, length);
    const lab = overlap(offset, length, LAB_REGISTERS, gvt_dma_registers.size);
    if (lab !== undefined) {
      const registers = gvt_dma_registers.encode(this.dma.registers);
      data.set(registers.subarray(lab.inner, lab.inner + lab.size), lab.outer);
    }
    return data;
  }

  writeMmio(offset: number, data: Uint8Array): void {
    const lab = overlap(offset, data.length, LAB_REGISTERS, DMA_WRITABLE);
    const page = overlap(offset, data.length, LAB_REGISTERS, 4096);
    if (page === undefined) this.memory.write(offset, data);
    else {
      if (page.outer > 0) this.memory.write(offset, data.subarray(0, page.outer));
      const after = page.outer + page.size;
      if (after < data.length) this.memory.write(offset + after, data.subarray(after));
    }
    if (lab === undefined) return;
    const registers = gvt_dma_registers.encode(this.dma.registers);
    registers.set(data.subarray(lab.outer, lab.outer + lab.size), lab.inner);
    this.dma.set(gvt_dma_registers.decode(registers));
  }

  /** BAR2: graphics memory, which is guest memory wherever the translation table says so. Elsewhere it is zeros. */
  readAperture(offset: number, length: number): Uint8Array {
    const data = new Uint8Array(length);
    eachPart(offset, length, (page, from, at, size) => {
      const iova = this.#translate(page);
      if (iova !== undefined) data.set(this.dma.read(iova + BigInt(from), size) ?? [], at);
    });
    return data;
  }

  writeAperture(offset: number, data: Uint8Array): void {
    eachPart(offset, data.length, (page, from, at, size) => {
      const iova = this.#translate(page);
      if (iova !== undefined) this.dma.write(iova + BigInt(from), data.subarray(at, at + size));
    });
  }

  /** VFIO_DEVICE_RESET */
  reset(): void {
    this.config.reset();
    this.memory.clear();
    this.dma.reset();
  }

  /** Last close of the device: the client's eventfds go, and its memory. What was programmed to write there stops. */
  release(): void {
    this.dma.stop();
    this.dma.attach(undefined);
    this.interrupts.release();
  }

  #translate(page: number): bigint | undefined {
    const data = this.memory.read(GTT_OFFSET + page * GTT_ENTRY_SIZE, GTT_ENTRY_SIZE);
    const entry = Buffer.from(data.buffer).readBigUInt64LE();
    return (entry & GTT_VALID) === 0n ? undefined : entry & GTT_ADDRESS;
  }
}

/** Where [offset, offset+length) meets [start, start+size): how many bytes, from where in the one and in the other. */
function overlap(
  offset: number, length: number, start: number, size: number,
): { readonly outer: number; readonly inner: number; readonly size: number } | undefined {
  const from = Math.max(offset, start);
  const to = Math.min(offset + length, start + size);
  return from < to ? { outer: from - offset, inner: from - start, size: to - from } : undefined;
}
