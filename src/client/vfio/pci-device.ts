/**
 * A vfio-pci device: config space, BARs, INTx and MSI. Source: QEMU's hw/vfio/pci.c: vfio_realize(), vfio_pci_reset(),
 * vfio_intx_enable(), vfio_msi_enable(), vfio_pci_write_config(), vfio_pci_load_config(); order of ioctls and accesses as recorded.
 */
import { isErrno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_RESET,
  VFIO_PCI_BAR5_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_NUM_IRQS, VFIO_PCI_REQ_IRQ_INDEX, vfio_pci_hot_reset_info,
} from '../../abi/vfio.js';
import { ioctlFd } from '../../sys/io.js';
import type { VfioPciOptions } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import { migrationBlock } from './blocker-watch.js';
import { ConfigSpace } from './config-space.js';
import type { DeviceEnvironment, DevicePlace } from './host-device.js';
import { HostDevice } from './host-device.js';
import { vfioIoctl } from './ioctl.js';
import type { DeviceIrq } from './irqs.js';
import { formatAddress } from './pci-address.js';
import { Region } from './regions.js';

export class PciDevice extends HostDevice {
  readonly api = 'vfio-pci';
  readonly dma = true;
  readonly sectionId: string;
  protected readonly requestIndex = VFIO_PCI_REQ_IRQ_INDEX;
  protected readonly watched = [migrationBlock(VFIO_PCI_NUM_IRQS)];
  readonly #regions: readonly Region[];
  readonly config: ConfigSpace;
  readonly #intx: DeviceIrq;
  readonly #msi: DeviceIrq;
  /** An INTx that the guest has not seen to yet. */
  #pending = false;
  /** The guest's interrupt handler; undefined drops interrupts, as a guest without driver. */
  onInterrupt: (() => void) | undefined;

  constructor(options: VfioPciOptions, place: DevicePlace, environment: DeviceEnvironment) {
    super(options, place, environment);
    this.sectionId = `0000:00:${formatAddress(place)}/vfio`;
    try {
      if ((this.flags & VFIO_DEVICE_FLAGS_PCI) === 0) throw new VfioError("this isn't a PCI device");
      const regions: Region[] = [];
      for (let index = 0; index <= VFIO_PCI_BAR5_REGION_INDEX; index++) regions.push(new Region(this.fd, index));
      this.#regions = regions;
      const config = new Region(this.fd, VFIO_PCI_CONFIG_REGION_INDEX);
      this.hasIrq(VFIO_PCI_ERR_IRQ_INDEX);
      this.config = new ConfigSpace(config);
      regions.forEach((region, n) => { if (region.size > 0) this.config.readBar(n); });
      this.#intx = this.listen(VFIO_PCI_INTX_IRQ_INDEX, () => this.#interrupt());
      this.#msi = this.listen(VFIO_PCI_MSI_IRQ_INDEX, () => this.#deliver());
      if (this.config.readInterruptPin() !== 0) this.#enableIntx();
    } catch (error) {
      throw this.failed(error);
    }
  }

  /** A guest's access to a BAR: after it the interrupt that it has seen to may come again. Throws Errno. */
  readBar(index: number, offset: number, length: number): Uint8Array {
    const data = this.#bar(index).read(offset, length);
    this.#endOfInterrupt();
    return data;
  }
  writeBar(index: number, offset: number, data: Uint8Array): void {
    this.#bar(index).write(offset, data);
    this.#endOfInterrupt();
  }

  /** A guest's write to config space. MSI takes the place of INTx, and gives it back. Throws Errno. */
  writeConfig(offset: number, value: number, width: 1 | 2 | 4): void {
    const had = this.config.msiEnabled;
    this.config.write(offset, value, width);
    const has = this.config.msiEnabled;
    if (!had && has) this.#enableMsi();
    if (!had || has) return;
    this.#msi.disable();
    this.#enableIntx();
  }

  override properties(): ReturnType<HostDevice['properties']> {
    const { place } = this;
    return new Map([...super.properties(), ['addr', { type: 'int32', value: place.slot * 8 + place.function }],
      ['legacy-addr', { type: 'str', value: formatAddress(place) }]]);
  }

  saveConfig(): Uint8Array {
    return this.config.save();
  }
  loadConfig(data: Uint8Array): void {
    if (!this.config.load(data)) throw new VfioError(`${this.name}: Failed to load device config space`);
    if (this.config.msiEnabled) this.#enableMsi();
  }

  override get needsBusReset(): boolean {
    return (this.flags & VFIO_DEVICE_FLAGS_RESET) === 0;
  }

  /** A device without a reset that QEMU may use only has its config space set back. */
  resetByMachine(): void {
    if (this.#msi.enabled) {
      this.#msi.disable();
      this.#enableIntx();
    }
    const listened = this.#intx.enabled;
    this.#intx.disable();
    this.config.forgetMsi();
    this.#pending = false;
    this.config.disable();
    try {
      if (this.needsBusReset) vfioIoctl(this.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio_pci_hot_reset_info);
      else ioctlFd(this.fd, VFIO_DEVICE_RESET, null);
    } catch (error) {
      if (!isErrno(error)) throw error;
    }
    if (listened) this.#enableIntx();
    this.config.clearBars();
  }

  #bar(index: number): Region {
    const region = this.#regions[index];
    if (region === undefined) throw new RangeError(`BAR ${index}`);
    return region;
  }

  #enableIntx(): void {
    if (this.config.readInterruptPin() !== 0) this.#intx.enable();
  }

  #enableMsi(): void {
    this.#intx.disable();
    this.#pending = false;
    this.#msi.enable();
  }

  #interrupt(): void {
    this.#pending = true;
    this.#deliver();
  }

  #deliver(): void {
    if (this.environment.vm.running) this.onInterrupt?.();
  }

  #endOfInterrupt(): void {
    if (!this.#pending) return;
    this.#pending = false;
    this.#intx.unmask();
  }
}
