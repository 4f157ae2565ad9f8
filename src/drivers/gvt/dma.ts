/**
 * DmaEngine: what of the vGPU writes guest memory: in rounds, each of which fills a range of IOVAs with the round's number.
 *
 * A range consists of cells of 16 bytes: the letters "gvt-dma:" and the round's sequence number, little-endian. The first round
 * is number 1; a round that meets memory that can't be written counts as an error and has no number. Program and numbers are part
 * of the device's state, so the engine goes on at the destination where it was; both numbers are registers of 64 bits, which a
 * stream may bring in at their end. It runs while the device is open and in a state in which it may do DMA; otherwise there is no
 * timer. After a round it rests for at least as long as that has taken: the server has other things to do.
 */
import { Errno, isErrno } from '../../abi/errno.js';
import { unattended } from '../../trace/unattended.js';
import type { DmaSpace } from '../../vfio/device.js';
import type { gvt_dma_registers } from './layout.js';
import type { StructValue } from '../../abi/layout.js';

export type DmaRegisters = StructValue<typeof gvt_dma_registers>;

/** Bits of the register `control`. */
export const DMA_RUN = 1 << 0;
/** An interrupt after every round. */
export const DMA_INTERRUPT = 1 << 1;

/** Bytes in one round. */
export const DMA_LENGTH_MAX = 64 << 20;
/** Bytes that are written at a time. */
const PIECE_SIZE = 1 << 20;
/** Milliseconds: what a timer can wait. */
const INTERVAL_MAX = 0x7fff_ffff;
const CELL_SIZE = 16;
const CELL_LETTERS = 'gvt-dma:';
const OFF: Readonly<DmaRegisters> = { address: 0n, length: 0n, interval: 0, control: 0, sequence: 0n, errors: 0n };

/** What round `sequence` writes into `length` bytes. */
export function dmaPattern(sequence: bigint, length: number): Uint8Array {
  return fillCells(Buffer.alloc(length), sequence);
}

function fillCells(target: Buffer, sequence: bigint): Uint8Array {
  const cell = Buffer.alloc(CELL_SIZE, CELL_LETTERS);
  cell.writeBigUInt64LE(sequence, CELL_LETTERS.length);
  return target.fill(cell);
}

/** What all engines write from; made with the first round. */
let pieceBuffer: Buffer | undefined;

function pieceOf(sequence: bigint, length: number): Uint8Array {
  pieceBuffer ??= Buffer.alloc(PIECE_SIZE);
  return fillCells(pieceBuffer.subarray(0, Math.min(length, PIECE_SIZE)), sequence);
}

const next64 = (value: bigint): bigint => BigInt.asUintN(64, value + 1n);

export class DmaEngine {
  readonly #interrupt: () => void;
  #registers: DmaRegisters = { ...OFF };
  #space: DmaSpace | undefined;
  #allowed = true;
  #timer: NodeJS.Timeout | undefined;

  constructor(interrupt: () => void) {
    this.#interrupt = interrupt;
  }

  get registers(): DmaRegisters {
    return this.#registers;
  }
  get running(): boolean {
    return (this.#registers.control & DMA_RUN) !== 0;
  }

  /** The device was opened: the client's memory. Undefined: closed. */
  attach(space: DmaSpace | undefined): void {
    this.#space = space;
    this.#arm();
  }

  /** Whether the device is in a state in which it may write memory. */
  allow(allowed: boolean): void {
    this.#allowed = allowed;
    this.#arm();
  }

  /** All registers, from a client or a stream. What can't run stops, and counts as an error. */
  set(registers: DmaRegisters): void {
    this.#registers = { ...registers };
    if (this.running && !isRunnable(registers)) this.#stopped();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#arm();
  }

  /** Starts from sequence number 1. Throws EINVAL for what can't run. */
  start(program: Pick<DmaRegisters, 'address' | 'length' | 'interval'>): void {
    if (!isRunnable(program)) throw new Errno('EINVAL');
    this.set({ ...OFF, ...program, control: DMA_RUN });
  }

  stop(): void {
    this.set({ ...this.#registers, control: this.#registers.control & ~DMA_RUN });
  }

  reset(): void {
    this.set(OFF);
  }

  /** Reads client memory at once, for the aperture; undefined where it can't be read, which counts as an error. */
  read(iova: bigint, length: number): Uint8Array | undefined {
    return this.#reach((space) => space.read(iova, length));
  }

  /** Writes client memory at once. A device that may not write drops it, as an error. */
  write(iova: bigint, data: Uint8Array): void {
    this.#reach((space) => {
      if (!this.#allowed) throw new Errno('EFAULT');
      space.write(iova, data);
    });
  }

  /** A timer exists if and only if there is something to do. `rest`: the fewest ms until the next round. */
  #arm(rest = 0): void {
    const active = this.running && this.#allowed && this.#space !== undefined;
    if (active === (this.#timer !== undefined)) return;
    if (active) {
      this.#timer = setTimeout(unattended('gvt: DMA', () => this.#round()), Math.max(this.#registers.interval, rest));
      this.#timer.unref();
    } else {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  }

  #round(): void {
    this.#timer = undefined;
    const { address, length, sequence, control } = this.#registers;
    const begin = performance.now();
    const next = next64(sequence);
    const written = this.#reach((space) => {
      space.fill(address, Number(length), pieceOf(next, Number(length)));
      return true;
    });
    if (written === true) {
      this.#registers.sequence = next;
      if ((control & DMA_INTERRUPT) !== 0) this.#interrupt();
    }
    this.#arm(Math.min(INTERVAL_MAX, Math.ceil(performance.now() - begin)));
  }

  #stopped(): void {
    this.#registers.control &= ~DMA_RUN;
    this.#countError();
  }

  #countError(): void {
    this.#registers.errors = next64(this.#registers.errors);
  }

  #reach<T>(access: (space: DmaSpace) => T): T | undefined {
    try {
      if (this.#space === undefined) throw new Errno('EFAULT');
      return access(this.#space);
    } catch (error) {
      if (!isErrno(error)) throw error;
      this.#countError();
      return undefined;
    }
  }
}

function isRunnable({ address, length, interval }: Pick<DmaRegisters, 'address' | 'length' | 'interval'>): boolean {
  if (interval <= 0 || interval > INTERVAL_MAX) return false;
  return length > 0n && length <= BigInt(DMA_LENGTH_MAX) && address + length <= 1n << 64n;
}
