/**
 * GuestLoad: a guest that does something. It writes RAM pages at a rate, and keeps bytes flowing through the FIFO of an
 * mtty port. By its value each byte is known to come back once and in order, or as lost or doubled on the way; by a checksum
 * over all that was sent and one over all that came, as not changed either. What it has done and seen is in RAM, so it goes on
 * where it was after a migration.
 */
import { isErrno } from '../../abi/errno.js';
import { struct, u32, u64 } from '../../abi/layout.js';
import {
  UART_FCR, UART_FCR_CLEAR_RCVR, UART_FCR_CLEAR_XMIT, UART_FCR_ENABLE_FIFO, UART_LSR, UART_LSR_DR, UART_RX, UART_TX,
} from '../../abi/serial.js';
import { strerror } from '../../sys/strerror.js';
import { isLost } from './device.js';
import { PAGE_SIZE } from './ram.js';
import type { Vm } from './vm.js';

/** The port: registers of a 16550. */
export interface SerialPort {
  /** Of the device that it is on. */
  readonly name: string;
  /** The device was taken from the machine. */
  readonly closed: boolean;
  readBar(index: number, offset: number, length: number): Uint8Array;
  writeBar(index: number, offset: number, data: Uint8Array): void;
}

export interface GuestLoadOptions {
  /** Pages written in a second. */
  pages: number;
  /** Bytes sent through the port in a second; 0: it is not touched. */
  bytes: number;
}

export interface GuestLoadReport {
  readonly pages: number;
  readonly sent: number;
  /** With those that were lost. */
  readonly received: number;
  /** Bytes that were lost, came twice, or were never sent; and how often the checksums differed. */
  readonly errors: number;
}

/** At the start of RAM. */
const guest_state = struct('guest_state', {
  magic: u64, pages: u64, next_page: u32, sent: u32, received: u32, errors: u32, sum_sent: u32, sum_received: u32,
});
type GuestState = ReturnType<typeof guest_state.decode>;
const MAGIC = 0x6d64_6576_7369_6d02n;
/** Time between two rounds, ms. */
const TICK = 5;
/** Bytes that are in the FIFO at most; the card takes a FIFO of 16 for an empty one. */
const IN_FLIGHT = 8;
/** Rounds without a byte after which those in flight are given up. */
const PATIENCE = 20;
/** Larger than the FIFO and prime, so that a byte lost or doubled shows. */
const ALPHABET = 251;

export class GuestLoad {
  readonly #vm: Vm;
  /** Undefined without one, and from when it is lost. */
  #port: SerialPort | undefined;
  readonly #options: GuestLoadOptions;
  readonly #remove: () => void;
  #timer: NodeJS.Timeout | undefined;
  #last = 0;
  /** Rounds without a byte. */
  #silent = 0;
  /** Work that is due, in fractions of a page and of a byte. */
  #due = { pages: 0, bytes: 0 };

  /** Runs whenever the VM does. */
  constructor(vm: Vm, port: SerialPort | undefined, options: GuestLoadOptions) {
    this.#vm = vm;
    this.#port = options.bytes === 0 ? undefined : port;
    this.#options = options;
    this.#remove = vm.handlers.add({ change: (running) => running ? this.#start() : this.#stop() });
    if (vm.running) this.#start();
  }

  /** Zeros before the guest first ran. */
  get report(): GuestLoadReport {
    const { magic, pages, sent, received, errors } = this.#state();
    return magic === MAGIC ? { pages: Number(pages), sent, received, errors } : { pages: 0, sent: 0, received: 0, errors: 0 };
  }

  close(): void {
    this.#stop();
    this.#remove();
  }

  #state(): GuestState {
    return guest_state.decode(this.#vm.ram.bytes);
  }

  #start(): void {
    if (this.#timer !== undefined) return;
    if (this.#state().magic !== MAGIC) {
      this.#vm.ram.write(0, guest_state.encode({ magic: MAGIC, next_page: 1 }));
      this.#access((port) => {
        port.writeBar(0, UART_FCR, Uint8Array.of(UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT));
      });
    }
    this.#last = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK).unref();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const now = performance.now();
    const seconds = Math.min(0.1, (now - this.#last) / 1000);
    this.#last = now;
    this.#due.pages += seconds * this.#options.pages;
    this.#due.bytes += seconds * this.#options.bytes;
    const state = this.#state();
    this.#writePages(state);
    this.#access((port) => this.#exchange(state, port));
    this.#vm.ram.write(0, guest_state.encode(state));
  }

  /** A port that is gone or fails is not used again; without anybody who serves devices the process ends, as with any device. */
  #access(use: (port: SerialPort) => void): void {
    const port = this.#port;
    if (port === undefined) return;
    try {
      if (!port.closed) return use(port);
      this.#drop('info', `the serial port of ${port.name} is gone`);
    } catch (error) {
      if (!isErrno(error)) throw error;
      if (isLost(error.errno)) this.#vm.devicesLost(port.name);
      this.#drop('warning', `the serial port of ${port.name} fails: ${strerror(error.errno)}`);
    }
  }

  #drop(level: 'info' | 'warning', why: string): void {
    this.#port = undefined;
    this.#vm.environment.log(level, `guest load: ${why}: pages only from now on`);
  }

  #writePages(state: GuestState): void {
    const { ram } = this.#vm;
    const stamp = new Uint8Array(8);
    for (; this.#due.pages >= 1; this.#due.pages--) {
      new DataView(stamp.buffer).setBigUint64(0, ++state.pages, true);
      ram.write(state.next_page * PAGE_SIZE, stamp);
      state.next_page = state.next_page + 1 < ram.pages ? state.next_page + 1 : 1;
    }
  }

  #exchange(state: GuestState, port: SerialPort): void {
    const read = (register: number): number => port.readBar(0, register, 1)[0] ?? 0;
    this.#silent++;
    while ((read(UART_LSR) & UART_LSR_DR) !== 0) {
      receive(state, read(UART_RX));
      this.#silent = 0;
    }
    if (this.#silent >= PATIENCE) lose(state, state.sent - state.received);
    compare(state);
    for (; this.#due.bytes >= 1; this.#due.bytes--) {
      if (state.sent - state.received >= IN_FLIGHT) {
        this.#due.bytes = 0;
        return;
      }
      const value = state.sent % ALPHABET;
      port.writeBar(0, UART_TX, Uint8Array.of(value));
      state.sum_sent = checksum(state.sum_sent, value);
      state.sent++;
    }
  }
}

/** FNV-1a, 32 bits. */
const checksum = (sum: number, value: number): number => Math.imul(sum ^ value, 0x0100_0193) >>> 0;

/** By its value a byte is the one expected, or ahead of it (some were lost), or behind it (it came twice), or was changed. */
function receive(state: GuestState, value: number): void {
  const inFlight = state.sent - state.received;
  const ahead = (value - state.received % ALPHABET + ALPHABET) % ALPHABET;
  if (inFlight === 0 || (value < ALPHABET && ahead >= ALPHABET - IN_FLIGHT)) {
    state.errors++;
    return;
  }
  if (value < ALPHABET && ahead < inFlight) lose(state, ahead);
  state.sum_received = checksum(state.sum_received, value);
  state.received++;
}

/** Errors already, so that the checksums do not differ for them. */
function lose(state: GuestState, count: number): void {
  state.errors += count;
  for (; count > 0; count--) state.sum_received = checksum(state.sum_received, state.received++ % ALPHABET);
}

function compare(state: GuestState): void {
  if (state.received !== state.sent || state.sum_received === state.sum_sent) return;
  state.errors++;
  state.sum_received = state.sum_sent;
}
