/**
 * Where on the root bus a device is. Source: QEMU's hw/core/qdev-properties-system.c: set_pci_devfn(), and hw/pci/pci.c:
 * do_pci_register_device(), pci_qdev_realize(), whose texts these are.
 */
import { VfioError } from '../vm/device.js';

/** Slots that are given out: 0 is the host bridge, 31 the ICH9's functions. */
const FIRST_SLOT = 1;
const LAST_SLOT = 30;
const MACHINE: Readonly<Record<number, string>> = { 0: 'mch', 31: 'ICH9-LPC' };
/** Its functions may have others beside them. */
const MULTIFUNCTION = 31;
const FUNCTIONS = 8;
const SLOTS = 32;

/** The root bus, as QEMU's q35 and its pc call it. */
export const ROOT_BUSES: readonly string[] = ['pcie.0', 'pci.0'];

export interface PciAddress {
  readonly slot: number;
  readonly function: number;
}

/** Who is there already. */
export interface Occupant extends PciAddress {
  readonly id: string;
}

/** `5`, `0x5`, `05.0`: hexadecimal. Throws VfioError. */
export function parseAddress(text: string): PciAddress {
  const match = /^(?:0x)?([0-9a-f]{1,8})(?:\.(?:0x)?([0-9a-f]{1,8}))?$/i.exec(text);
  const address = { slot: Number.parseInt(match?.[1] ?? '', 16), function: Number.parseInt(match?.[2] ?? '0', 16) };
  if (address.slot < SLOTS && address.function < FUNCTIONS) return address;
  throw new VfioError(`Property 'vfio-pci.addr' doesn't take value '${text}'`);
}

/** `05.0` */
export function formatAddress({ slot, function: number }: PciAddress): string {
  return `${slot.toString(16).padStart(2, '0')}.${number}`;
}

/** Checks the address, or finds a free slot. `hotplugged`: the machine is there already. Throws VfioError. */
export function placeOnBus(occupants: readonly Occupant[], wanted: PciAddress | undefined, hotplugged: boolean): PciAddress {
  const at = (slot: number, number?: number): Occupant | undefined =>
    occupants.find((one) => one.slot === slot && (number === undefined || one.function === number));
  if (wanted === undefined) {
    for (let slot = FIRST_SLOT; slot <= LAST_SLOT; slot++) if (at(slot) === undefined) return { slot, function: 0 };
    throw new VfioError('PCI: no slot/function available for vfio-pci, all in use or reserved');
  }
  const { slot, function: number } = wanted;
  const there = at(slot, number);
  const machine = MACHINE[slot];
  if (there !== undefined || (machine !== undefined && number === 0)) {
    const who = there === undefined ? `${String(machine)},id=(null)` : `vfio-pci,id=${there.id === '' ? '(null)' : there.id}`;
    throw new VfioError(`PCI: slot ${slot} function ${number} not available for vfio-pci, in use by ${who}`);
  }
  const first = at(slot, 0) === undefined ? machine : 'vfio-pci';
  if (number > 0 && first !== undefined && (hotplugged || slot !== MULTIFUNCTION)) {
    throw new VfioError(hotplugged
      ? `PCI: slot ${slot} function 0 already occupied by ${first}, new func vfio-pci cannot be exposed to guest.`
      : `PCI: single function device can't be populated in function ${slot.toString(16)}.${number}`);
  }
  const other = number === 0 ? at(slot) : undefined;
  if (other !== undefined) {
    const hex = slot.toString(16);
    throw new VfioError(`PCI: ${hex}.0 indicates single function, but ${hex}.${other.function} is already populated.`);
  }
  return wanted;
}
