/**
 * struct serial_port and the header of the migration stream, as mtty lays them out in memory: what a kernel writes into
 * a stream is a copy of that memory, so these layouts are the stream format. samples/vfio-mdev/mtty.c: struct serial_port,
 * struct mtty_data.
 */
import { bytes, struct, u16, u32, u64, u8 } from '../../abi/layout.js';

/** Bytes in the loop-back FIFO. */
export const MAX_FIFO_SIZE = 16;

/** Little-endian; bytes 29 and 35 are padding, carried along as they are. */
export const serial_port = struct('serial_port', {
  /** As written, by register number; only IER, LCR, MCR and SCR are used. */
  uart_reg: bytes(8),
  fifo: bytes(MAX_FIFO_SIZE),
  /** Index in fifo[] of the next byte to be written. */
  head: u8,
  /** Index in fifo[] of the next byte to be read. */
  tail: u8,
  /** Bytes written and not yet read; 16 when head has caught up with tail. */
  count: u8,
  /** 0 or 1. */
  dlab: u8,
  /** 0 or 1. */
  overrun: u8,
  divisor: u16,
  /** As last written. */
  fcr: u8,
  /** 16, or 1 when FCR has switched the FIFO off. */
  max_fifo_size: u8,
  /** Bytes in the FIFO that raise the receive interrupt: 0 until FCR is written, then 1. */
  intr_trigger_level: u8,
});

/** struct mtty_data without its ports[]. */
export const mtty_data = struct('mtty_data', {
  magic: u64,
  major_ver: u32,
  minor_ver: u32,
  /** 1 or 2. */
  nr_ports: u32,
  /** Must be 0. */
  flags: u32,
});

export const MTTY_MAGIC = 0x7e9d09898c3e2c4en;
export const MTTY_MAJOR_VER = 1;
export const MTTY_MINOR_VER = 0;
