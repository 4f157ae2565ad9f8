/**
 * The GPU as a PCI device of the machine: sys/devices/pci0000:00/0000:00:02.0 with the files that programs look at, its bus and
 * its driver. Source: drivers/pci/pci-sysfs.c: pci_dev_attrs[], pci_uevent().
 */
import { Errno } from '../../abi/errno.js';
import { PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../abi/pci.js';
import { PCI_CLASS_DISPLAY_VGA, pci_header_type0 } from '../../abi/pci-header.js';
import { Driver } from '../../device/driver.js';
import type { Machine } from '../../device/machine.js';
import type { MdevDriverSetup } from '../../mdev/driver.js';
import { ro } from '../../sysfs/attribute.js';
import { bindGroup } from '../../sysfs/group.js';
import type { AttributeGroup } from '../../sysfs/group.js';
import {
  GPU_DEVICE_ID, GPU_REVISION, GPU_SUBSYSTEM_ID, initialConfigSpace, INTEL_VENDOR_ID, MMIO_BAR_SIZE,
} from './config-space.js';

const ROOT = 'pci0000:00';
/** Slot of the integrated GPU; further ones of the lab come after it. */
const FIRST_SLOT = 2;
const SLOTS = 32 - FIRST_SLOT;
export const MAX_GPUS = SLOTS * 8;

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
const HEX_CLASS = `${hex(PCI_CLASS_DISPLAY_VGA, 4)}00`;
const upper = (value: number, digits: number): string => hex(value, digits).toUpperCase();

/** `pci0000:00/0000:00:02.0` for the first. */
export function gpuPath(n: number): string {
  return `${ROOT}/0000:00:${hex(FIRST_SLOT + n % SLOTS, 2)}.${Math.floor(n / SLOTS)}`;
}

const MODALIAS = `pci:v${upper(INTEL_VENDOR_ID, 8)}d${upper(GPU_DEVICE_ID, 8)}` +
  `sv${upper(INTEL_VENDOR_ID, 8)}sd${upper(GPU_SUBSYSTEM_ID, 8)}bc03sc00i00`;

/** pci_uevent(), for the device in that slot. */
export function gpuVariables(slot: string): readonly string[] {
  return [
    `PCI_CLASS=${upper(PCI_CLASS_DISPLAY_VGA << 8, 4)}`, `PCI_ID=${upper(INTEL_VENDOR_ID, 4)}:${upper(GPU_DEVICE_ID, 4)}`,
    `PCI_SUBSYS_ID=${upper(INTEL_VENDOR_ID, 4)}:${upper(GPU_SUBSYSTEM_ID, 4)}`, `PCI_SLOT_NAME=${slot}`, `MODALIAS=${MODALIAS}`,
  ];
}

/** Where the machine's firmware has put BAR0 and the aperture, which needs room. */
const MMIO_ADDRESS = 0xf600_0000;
const APERTURE_ADDRESS = 0x20_0000_0000;
/** Flags of the two in `resource`. Source: include/linux/ioport.h. */
const MMIO_FLAGS = 0x14_0204;
const APERTURE_FLAGS = 0x14_220c;
/** Lines of `resource`: six BARs, the ROM, and what virtual functions would have. */
const RESOURCES = 13;

/** `aperture`: bytes. */
function resources(aperture: number): string {
  const range = (start: number, size: number, flags: number): readonly number[] => [start, start + size - 1, flags];
  const bars: Readonly<Record<number, readonly number[]>> = {
    0: range(MMIO_ADDRESS, MMIO_BAR_SIZE, MMIO_FLAGS), 2: range(APERTURE_ADDRESS, aperture, APERTURE_FLAGS),
  };
  const line = (numbers: readonly number[]): string => numbers.map((number) => `0x${hex(number, 16)}`).join(' ');
  return Array.from({ length: RESOURCES }, (_, n) => line(bars[n] ?? [0, 0, 0])).join('\n');
}

function configSpace(): Uint8Array {
  const content = initialConfigSpace();
  const { command, base_address_0 } = pci_header_type0.decode(content);
  pci_header_type0.patch(content, {
    command: command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
    base_address_0: base_address_0 + MMIO_ADDRESS,
    base_address_3: APERTURE_ADDRESS / 2 ** 32,
  });
  return content;
}

const text = (content: string): () => string => () => `${content}\n`;

/** `aperture`: bytes. */
export const gpuFiles = (aperture: number): AttributeGroup => bindGroup({}, [
  ro('vendor', text(`0x${hex(INTEL_VENDOR_ID, 4)}`)),
  ro('device', text(`0x${hex(GPU_DEVICE_ID, 4)}`)),
  ro('subsystem_vendor', text(`0x${hex(INTEL_VENDOR_ID, 4)}`)),
  ro('subsystem_device', text(`0x${hex(GPU_SUBSYSTEM_ID, 4)}`)),
  ro('class', text(`0x${HEX_CLASS}`)),
  ro('revision', text(`0x${hex(GPU_REVISION, 2)}`)),
  ro('modalias', text(MODALIAS)),
  ro('irq', text('0')),
  ro('enable', text('1')),
  ro('boot_vga', text('1')),
  ro('numa_node', text('-1')),
  ro('resource', text(resources(aperture))),
  ro('config', configSpace),
]);

/** The bus, the root of its devices and the driver i915. */
export function setUpGpus(machine: Machine): MdevDriverSetup {
  const root = machine.addRootDevice(ROOT);
  const bus = machine.addBus('pci');
  const module = machine.addModule({ name: 'i915' });
  const parentDriver = new Driver(bus, 'i915', 'i915', () => { throw new Errno('EOPNOTSUPP', 'the GPU stays bound'); });
  bus.drivers.add(parentDriver.name, parentDriver);
  module.drivers.add(`pci:${parentDriver.name}`, parentDriver);
  return {
    parentDriver,
    undo: () => {
      machine.removeModule(module);
      machine.removeBus(bus);
      machine.removeRootDevice(root);
    },
  };
}
