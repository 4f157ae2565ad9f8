/**
 * PCI configuration space of an mtty card, 4348:3253, driven by a table of what can be written.
 *
 * The kernel looks only at the offset where an access starts: a register is written whole, by an access of any width that
 * begins at it, and never by one that begins before it. samples/vfio-mdev/mtty.c: mtty_create_config_space(),
 * handle_pci_cfg_write().
 */
import type { FieldType } from '../../abi/layout.js';
import { u32, u8 } from '../../abi/layout.js';
import { PCI_BASE_ADDRESS_SPACE_IO, PCI_COMMAND_IO, PCI_STATUS_DEVSEL_MEDIUM } from '../../abi/pci.js';
import { PCI_CLASS_COMMUNICATION_SERIAL, pci_header_type0 } from '../../abi/pci-header.js';

/** Bytes that REGION_INFO reports; the last byte of the standard 256 is not there. */
export const CONFIG_SPACE_SIZE = 0xff;
/** Bytes in an I/O BAR: the eight registers of one port. */
export const IO_BAR_SIZE = 8;

const VENDOR_ID = 0x4348;
const DEVICE_ID = 0x3253;
/** What the card has past the header: offset, bytes. */
const VENDOR_SPECIFIC: readonly (readonly [number, readonly number[]])[] = [
  [0x40, [0x23, 0, 0, 0x80]], [0x44, [0x23]], [0x48, [0x23]], [0x4c, [0x23]],
  [0x60, [...new TextEncoder().encode('PCI Serial/UART')]],
];
const ALL_ONES = 0xffff_ffff;

type HeaderField = keyof typeof pci_header_type0.fields;

interface WritableRegister {
  readonly field: HeaderField;
  /** u8 or u32. */
  readonly type: FieldType<number>;
  /** Bits taken from the value written. */
  readonly writable: number;
  /** Bits taken instead where the value is all ones: a BAR answers with its size. */
  readonly sizing: number;
  /** Bits that stay as they are when set: a BAR's type. */
  readonly sticky: number;
}

const PORT_BAR = { type: u32, writable: ALL_ONES, sizing: ~(IO_BAR_SIZE - 1) >>> 0, sticky: 0x3 };
const NO_BAR = { type: u32, writable: 0, sizing: 0, sticky: 0 };

/** All that can be written on a card with `ports` ports; everything else keeps its value. */
const writableRegisters = (ports: number): readonly WritableRegister[] => [
  { field: 'base_address_0', ...PORT_BAR },
  { field: 'base_address_1', ...(ports === 2 ? PORT_BAR : NO_BAR) },
  { field: 'base_address_2', ...NO_BAR },
  { field: 'base_address_3', ...NO_BAR },
  { field: 'base_address_4', ...NO_BAR },
  { field: 'interrupt_line', type: u8, writable: 0xff, sizing: 0xff, sticky: 0 },
];

function initialContent(ports: number): Uint8Array {
  const content = new Uint8Array(CONFIG_SPACE_SIZE);
  content.set(pci_header_type0.encode({
    vendor_id: VENDOR_ID,
    device_id: DEVICE_ID,
    command: PCI_COMMAND_IO,
    status: PCI_STATUS_DEVSEL_MEDIUM,
    revision_id: 0x10,
    class_prog: 0x02,
    class_device: PCI_CLASS_COMMUNICATION_SERIAL,
    base_address_0: PCI_BASE_ADDRESS_SPACE_IO,
    base_address_1: ports === 2 ? PCI_BASE_ADDRESS_SPACE_IO : 0,
    subsystem_vendor_id: VENDOR_ID,
    subsystem_id: DEVICE_ID,
    interrupt_pin: 1,
  }));
  for (const [offset, data] of VENDOR_SPECIFIC) content.set(data, offset);
  return content;
}

interface Model {
  readonly content: Uint8Array;
  /** By offset. */
  readonly registers: ReadonlyMap<number, WritableRegister>;
}

const model = (ports: number): Model => ({
  content: initialContent(ports),
  registers: new Map(writableRegisters(ports).map((row) => [pci_header_type0.fields[row.field].offset, row])),
});
const MODELS = { 1: model(1), 2: model(2) } as const;

export class ConfigSpace {
  readonly #model: Model;
  /** The model's own until the first write. */
  #content: Uint8Array;

  constructor(ports: 1 | 2) {
    this.#model = MODELS[ports];
    this.#content = this.#model.content;
  }

  /** `width` bytes from `offset` on; past the end zeros. */
  read(offset: number, width: number): Uint8Array {
    const data = new Uint8Array(width);
    data.set(this.#content.subarray(Math.min(offset, CONFIG_SPACE_SIZE), Math.min(offset + width, CONFIG_SPACE_SIZE)));
    return data;
  }

  /** One access of 1, 2 or 4 bytes. Bytes that a register has beyond the access are taken as zero. */
  write(offset: number, data: Uint8Array): void {
    const register = this.#model.registers.get(offset);
    if (register === undefined) return;
    if (this.#content === this.#model.content) this.#content = this.#model.content.slice();
    const padded = new Uint8Array(u32.size);
    padded.set(data.subarray(0, u32.size));
    const value = register.type.get(viewOf(padded), 0);
    const taken = value === ALL_ONES ? register.sizing : value & register.writable;
    const view = viewOf(this.#content);
    register.type.set(view, offset, (taken | (register.type.get(view, offset) & register.sticky)) >>> 0);
  }
}

function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}
