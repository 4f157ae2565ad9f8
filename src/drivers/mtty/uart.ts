/**
 * One 8250 port whose transmitter is wired to its own receiver: what is written to THR comes back from RBR.
 *
 * Its state is the memory of a struct serial_port (serial-port.ts), so saving and loading are copies. Quirks are the
 * kernel driver's: samples/vfio-mdev/mtty.c: handle_bar_read(), handle_bar_write().
 */
import {
  UART_FCR, UART_FCR_CLEAR_RCVR, UART_FCR_CLEAR_XMIT, UART_FCR_ENABLE_FIFO, UART_IER, UART_IER_MSI, UART_IER_RDI,
  UART_IER_RLSI, UART_IER_THRI, UART_IIR, UART_IIR_MSI, UART_IIR_NO_INT, UART_IIR_RDI, UART_IIR_RLSI, UART_IIR_THRI,
  UART_LCR, UART_LCR_DLAB, UART_LSR, UART_LSR_DR, UART_LSR_OE, UART_LSR_TEMT, UART_LSR_THRE, UART_MCR, UART_MCR_AFE,
  UART_MCR_DTR, UART_MCR_OUT2, UART_MCR_RTS, UART_MSR, UART_MSR_CTS, UART_MSR_DCD, UART_MSR_DCTS, UART_MSR_DDSR,
  UART_MSR_DSR, UART_RX, UART_SCR, UART_TX,
} from '../../abi/serial.js';
import { MAX_FIFO_SIZE, serial_port } from './serial-port.js';

const FIELD = serial_port.fields;
type ByteField = 'head' | 'tail' | 'count' | 'dlab' | 'overrun' | 'fcr' | 'max_fifo_size' | 'intr_trigger_level';

/** IIR bits 6 and 7: a 16550 with its FIFO on. The driver sets them always. */
const IIR_16550 = 0xc0;
/** After a write to FCR, whatever trigger the write asked for. */
const TRIGGER_LEVEL = 1;

/** Where the port's interrupts go: the device, which knows INTx from MSI. */
export interface InterruptSink {
  triggerInterrupt(): void;
}

export class Uart {
  readonly #memory = new Uint8Array(serial_port.size);
  readonly #interrupts: InterruptSink;

  constructor(interrupts: InterruptSink) {
    this.#interrupts = interrupts;
    this.#set('max_fifo_size', MAX_FIFO_SIZE);
  }

  /** The port's struct serial_port. */
  save(): Uint8Array {
    return this.#memory.slice();
  }

  /** Takes over a struct serial_port unchecked, as the kernel does. `data` has serial_port.size bytes. */
  load(data: Uint8Array): void {
    this.#memory.set(data.subarray(0, serial_port.size));
  }

  /** Value of a register, 0..255. Registers that do not exist read 0. */
  read(register: number): number {
    switch (register) {
      case UART_RX: return this.#dlab ? this.#divisor & 0xff : this.#receive();
      case UART_IER: return this.#dlab ? this.#divisor >> 8 : this.#register(UART_IER) & 0x0f;
      case UART_IIR: return this.#interruptIdentification();
      case UART_LCR:
      case UART_MCR:
      case UART_SCR: return this.#register(register);
      case UART_LSR: return this.#lineStatus();
      case UART_MSR: return this.#modemStatus();
      default: return 0;
    }
  }

  /** `value` 0..255. Writes to LSR, MSR and registers that do not exist are taken and ignored. */
  write(register: number, value: number): void {
    switch (register) {
      case UART_TX:
        if (this.#dlab) this.#divisor |= value;
        else this.#transmit(value);
        break;
      case UART_IER:
        if (this.#dlab) this.#divisor |= value << 8;
        else this.#writeInterruptEnable(value);
        break;
      case UART_FCR:
        this.#writeFifoControl(value);
        break;
      case UART_LCR:
        this.#set('dlab', (value & UART_LCR_DLAB) === 0 ? 0 : 1);
        // Divisor bytes are or-ed in, so they start from nothing each time the latch is opened.
        if (this.#dlab) this.#divisor = 0;
        this.#setRegister(UART_LCR, value);
        break;
      case UART_MCR:
        this.#writeModemControl(value);
        break;
      case UART_SCR:
        this.#setRegister(UART_SCR, value);
        break;
      default:
        break;
    }
  }

  #receive(): number {
    let value = 0;
    if (!this.#looksEmpty) {
      const tail = this.#get('tail');
      // A loaded state may hold any index; past the FIFO there is nothing of the port's to give away.
      value = tail < MAX_FIFO_SIZE ? this.#memory[FIELD.fifo.offset + tail] ?? 0 : 0;
      this.#set('count', this.#get('count') - 1);
      this.#set('tail', (tail + 1) % MAX_FIFO_SIZE);
    }
    if (this.#looksEmpty && this.#enabled(UART_IER_THRI)) this.#interrupts.triggerInterrupt();
    return value;
  }

  #transmit(value: number): void {
    if (this.#get('count') >= this.#get('max_fifo_size')) {
      this.#set('overrun', 1);
      if (this.#enabled(UART_IER_RLSI)) this.#interrupts.triggerInterrupt();
      return;
    }
    const head = this.#get('head');
    if (head < MAX_FIFO_SIZE) this.#memory[FIELD.fifo.offset + head] = value;
    this.#set('count', this.#get('count') + 1);
    this.#set('head', (head + 1) % MAX_FIFO_SIZE);
    this.#set('overrun', 0);
    if (this.#enabled(UART_IER_RDI) && this.#get('count') === this.#get('intr_trigger_level')) {
      this.#interrupts.triggerInterrupt();
    }
  }

  #writeInterruptEnable(value: number): void {
    this.#setRegister(UART_IER, value);
    if ((value & UART_IER_THRI) !== 0 && this.#looksEmpty) this.#interrupts.triggerInterrupt();
  }

  #writeFifoControl(value: number): void {
    this.#set('fcr', value);
    if ((value & (UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT)) !== 0) {
      this.#set('head', 0);
      this.#set('tail', 0);
      this.#set('count', 0);
    }
    this.#set('intr_trigger_level', TRIGGER_LEVEL);
    this.#set('max_fifo_size', (value & UART_FCR_ENABLE_FIFO) === 0 ? 1 : MAX_FIFO_SIZE);
  }

  #writeModemControl(value: number): void {
    this.#setRegister(UART_MCR, value);
    if (!this.#enabled(UART_IER_MSI)) return;
    if ((value & UART_MCR_OUT2) !== 0) this.#interrupts.triggerInterrupt();
    if ((value & (UART_MCR_RTS | UART_MCR_DTR)) !== 0) this.#interrupts.triggerInterrupt();
  }

  #interruptIdentification(): number {
    const modemLines = (this.#register(UART_MCR) & (UART_MCR_RTS | UART_MCR_DTR)) !== 0;
    let pending = 0;
    if (this.#enabled(UART_IER_RLSI) && this.#get('overrun') !== 0) pending |= UART_IIR_RLSI;
    if (this.#enabled(UART_IER_RDI) && this.#get('count') >= this.#get('intr_trigger_level')) pending |= UART_IIR_RDI;
    if (this.#enabled(UART_IER_THRI) && this.#looksEmpty) pending |= UART_IIR_THRI;
    // The modem status cause has the value 0: alone it reads as "nothing pending".
    if (this.#enabled(UART_IER_MSI) && modemLines) pending |= UART_IIR_MSI;
    return IIR_16550 | (pending === 0 ? UART_IIR_NO_INT : pending);
  }

  #lineStatus(): number {
    const overrun = this.#get('overrun') === 0 ? 0 : UART_LSR_OE;
    return overrun | (this.#looksEmpty ? UART_LSR_TEMT | UART_LSR_THRE : UART_LSR_DR);
  }

  #modemStatus(): number {
    const flowControl = (this.#register(UART_MCR) & UART_MCR_AFE) !== 0;
    const full = this.#get('count') >= this.#get('max_fifo_size');
    const clearToSend = flowControl && full ? 0 : UART_MSR_CTS | UART_MSR_DCTS;
    return UART_MSR_DSR | UART_MSR_DDSR | UART_MSR_DCD | clearToSend;
  }

  /** By its indices, as everything but the transmitter judges it: true also for a FIFO of 16 bytes. */
  get #looksEmpty(): boolean {
    return this.#get('head') === this.#get('tail');
  }

  get #dlab(): boolean {
    return this.#get('dlab') !== 0;
  }

  get #divisor(): number {
    return serial_port.decode(this.#memory).divisor;
  }

  set #divisor(value: number) {
    serial_port.patch(this.#memory, { divisor: value });
  }

  #enabled(interrupt: number): boolean {
    return (this.#register(UART_IER) & interrupt) !== 0;
  }

  #register(register: number): number {
    return this.#memory[FIELD.uart_reg.offset + register] ?? 0;
  }

  #setRegister(register: number, value: number): void {
    this.#memory[FIELD.uart_reg.offset + register] = value;
  }

  #get(field: ByteField): number {
    return this.#memory[FIELD[field].offset] ?? 0;
  }

  #set(field: ByteField, value: number): void {
    this.#memory[FIELD[field].offset] = value;
  }
}
