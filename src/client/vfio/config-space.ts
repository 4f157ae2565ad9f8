/**
 * Configuration space as the guest sees it: a copy, most of which goes to the device too. Source: QEMU's hw/vfio/pci.c:
 * vfio_pci_read_config(), vfio_pci_write_config(), vfio_pci_size_rom(), vfio_pci_pre_reset(), vfio_pci_load_config().
 */
import {
  PCI_BASE_ADDRESS_0, PCI_CAPABILITY_LIST, PCI_CAP_ID_MSI, PCI_CAP_LIST_ID, PCI_CAP_LIST_NEXT, PCI_COMMAND, PCI_COMMAND_IO,
  PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY, PCI_DEVICE_ID, PCI_INTERRUPT_PIN, PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE, PCI_ROM_ADDRESS,
  PCI_STATUS, PCI_STATUS_CAP_LIST, PCI_VENDOR_ID,
} from '../../abi/pci.js';
import type { ConfigAccess } from '../vm/device.js';
import type { Region } from './regions.js';

const CONFIG_SIZE = 256;
const BARS = 6;
const ROM_SIZING = 0xffff_f800;

const littleEndian = (data: Uint8Array): number => data.reduceRight((value, byte) => value * 256 + byte, 0);

export class ConfigSpace implements ConfigAccess {
  readonly #region: Region;
  readonly #shadow = new Uint8Array(CONFIG_SIZE);

  /** Reads what is there, and sizes the ROM. Throws Errno. */
  constructor(region: Region) {
    this.#region = region;
    this.#shadow.set(region.read(0, Math.min(CONFIG_SIZE, region.size)));
    const rom = region.read(PCI_ROM_ADDRESS, 4);
    this.#writeDevice(PCI_ROM_ADDRESS, ROM_SIZING, 4);
    region.read(PCI_ROM_ADDRESS, 4);
    region.write(PCI_ROM_ADDRESS, rom);
  }

  get vendorId(): number {
    return this.get(PCI_VENDOR_ID, 2);
  }
  get deviceId(): number {
    return this.get(PCI_DEVICE_ID, 2);
  }

  get(offset: number, width: 1 | 2 | 4): number {
    return littleEndian(this.#shadow.subarray(offset, offset + width));
  }

  capability(id: number): number | undefined {
    if ((this.get(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST) === 0) return undefined;
    let at = this.get(PCI_CAPABILITY_LIST, 1);
    // No more than there is room for: a list may lead back into itself.
    for (let n = 0; at !== 0 && n < CONFIG_SIZE / 4; n++) {
      if (this.get(at + PCI_CAP_LIST_ID, 1) === id) return at;
      at = this.get(at + PCI_CAP_LIST_NEXT, 1);
    }
    return undefined;
  }

  /** By the guest. */
  get msiEnabled(): boolean {
    const at = this.capability(PCI_CAP_ID_MSI);
    return at !== undefined && (this.get(at + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_ENABLE) !== 0;
  }

  /** A reset switches it off, as the guest sees it: msi_reset(). */
  forgetMsi(): void {
    const at = this.capability(PCI_CAP_ID_MSI);
    if (at !== undefined) this.#shadow[at + PCI_MSI_FLAGS] = this.get(at + PCI_MSI_FLAGS, 1) & ~PCI_MSI_FLAGS_ENABLE;
  }

  /** From the device, 1, 2 or 4 bytes. Throws Errno. */
  read(offset: number, width: 1 | 2 | 4): number {
    return littleEndian(this.#region.read(offset, width));
  }
  readBar(n: number): number {
    return this.read(PCI_BASE_ADDRESS_0 + 4 * n, 4);
  }
  readInterruptPin(): number {
    return this.read(PCI_INTERRUPT_PIN, 1);
  }

  /** To the device and to the copy. Throws Errno. */
  write(offset: number, value: number, width: 1 | 2 | 4): void {
    this.#shadow.set(this.#writeDevice(offset, value, width), offset);
  }

  /** Before a reset the device stops answering and mastering. Throws Errno. */
  disable(): void {
    this.write(PCI_COMMAND, this.read(PCI_COMMAND, 2) & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), 2);
  }

  /** After a reset. Throws Errno. */
  clearBars(): void {
    for (let n = 0; n < BARS; n++) this.write(PCI_BASE_ADDRESS_0 + 4 * n, 0, 4);
  }

  /** The copy, for the stream. */
  save(): Uint8Array {
    return this.#shadow.slice();
  }

  /** False where it is another kind of device's. Throws Errno. */
  load(data: Uint8Array): boolean {
    const id = (bytes: Uint8Array): string => bytes.subarray(PCI_VENDOR_ID, PCI_DEVICE_ID + 2).join();
    if (data.length !== CONFIG_SIZE || id(data) !== id(this.#shadow)) return false;
    this.#shadow.set(data);
    this.write(PCI_COMMAND, this.get(PCI_COMMAND, 2), 2);
    return true;
  }

  #writeDevice(offset: number, value: number, width: number): Uint8Array {
    const data = Uint8Array.from({ length: width }, (_, n) => Math.floor(value / 256 ** n) & 0xff);
    this.#region.write(offset, data);
    return data;
  }
}
