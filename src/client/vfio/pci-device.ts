/**
 * A vfio-pci device: opened, its interrupts, config space and BARs, its migration, and the blocker's eventfd. Source: QEMU's
 * hw/vfio/pci.c: vfio_realize(), vfio_pci_reset(), vfio_intx_enable(); order of ioctls and accesses as recorded.
 */
import { basename } from 'node:path';
import { lstatSync } from 'node:fs';
import { isErrno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_PCI_BAR5_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX, vfio_device_info, vfio_pci_hot_reset_info,
} from '../../abi/vfio.js';
import { strerror } from '../../sys/strerror.js';
import type { MainLoop } from '../main-loop.js';
import type { MigrationBlocker } from '../vm/blockers.js';
import type { MigrationSide, OnOffAuto, VfioPciDevice, VfioPciOptions } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { Vm } from '../vm/vm.js';
import { BlockerWatch } from './blocker-watch.js';
import { ConfigSpace } from './config-space.js';
import type { Backend, OpenedDevice } from './container.js';
import { vfioIoctl } from './ioctl.js';
import { DeviceIrq, irqCount } from './irqs.js';
import { MigrationNotice } from './notice.js';
import type { MigrationProtocol } from './protocol.js';
import { Region } from './regions.js';

export interface PciDeviceEnvironment {
  readonly vm: Vm;
  readonly loop: MainLoop;
  readonly backend: Backend;
  /** Tell the driver when migrations start and end (--notify). */
  readonly notify: boolean;
  readonly protocol: MigrationProtocol;
  /** Devices that are there already, for what QEMU checks across devices. */
  readonly others: readonly PciDevice[];
  /** The driver wants the device back (REQ interrupt). */
  readonly unplug: (device: PciDevice) => void;
}

export class PciDevice implements VfioPciDevice {
  readonly options: VfioPciOptions;
  readonly id: string;
  readonly name: string;
  readonly qomPath: string;
  readonly sectionId: string;
  readonly fd: number;
  readonly opened: OpenedDevice;
  readonly #vm: Vm;
  readonly #regions: readonly Region[];
  readonly config: ConfigSpace;
  readonly #intx: DeviceIrq;
  readonly #request: DeviceIrq;
  readonly #blockerWatch: BlockerWatch;
  readonly #notice: MigrationNotice | undefined;
  readonly #close: (() => void)[] = [];
  enableMigration: OnOffAuto;
  migration: MigrationSide | undefined;
  realizeBlocker: MigrationBlocker | undefined;
  dirtyTracking = false;
  /** An INTx that the guest has not seen to yet. */
  #pending = false;
  /** The guest's interrupt handler; undefined drops interrupts, as a guest without driver. */
  onInterrupt: (() => void) | undefined;

  /** Throws VfioError with QEMU's text; then nothing stays open. */
  constructor(
    options: VfioPciOptions, place: { readonly qomPath: string; readonly slot: number }, environment: PciDeviceEnvironment,
  ) {
    const { vm, loop, backend } = environment;
    if (options.sysfsdev === '') throw new VfioError('No provided host device');
    if (lstatSync(options.sysfsdev, { throwIfNoEntry: false }) === undefined) {
      throw new VfioError(`vfio ${options.sysfsdev}: no such host device: No such file or directory`);
    }
    this.options = options;
    this.id = options.id ?? '';
    this.name = basename(options.sysfsdev);
    this.qomPath = place.qomPath;
    this.sectionId = `0000:00:${place.slot.toString(16).padStart(2, '0')}.0/vfio`;
    this.enableMigration = options.enableMigration ?? 'auto';
    this.#vm = vm;
    try {
      this.opened = backend.open(options.sysfsdev, this.name);
      this.fd = this.opened.fd;
      // The data_fd after the device, as in a QEMU that ends: the kernel closes the lower number first.
      this.#close.push(() => this.migration?.closeData(), () => this.opened.close());
      vfioIoctl(this.fd, VFIO_DEVICE_GET_INFO, vfio_device_info);
      const regions: Region[] = [];
      for (let index = 0; index <= VFIO_PCI_BAR5_REGION_INDEX; index++) regions.push(new Region(this.fd, index));
      this.#regions = regions;
      const config = new Region(this.fd, VFIO_PCI_CONFIG_REGION_INDEX);
      this.#hasIrq(VFIO_PCI_ERR_IRQ_INDEX);
      this.config = new ConfigSpace(config);
      regions.forEach((region, n) => { if (region.size > 0) this.config.readBar(n); });
      const irq = (index: number, handler: () => void): DeviceIrq =>
        new DeviceIrq(this.fd, index, loop, handler, (error) => this.#fault(error));
      this.#intx = irq(VFIO_PCI_INTX_IRQ_INDEX, () => this.#interrupt());
      this.#request = irq(VFIO_PCI_REQ_IRQ_INDEX, () => environment.unplug(this));
      this.#close.push(() => this.#intx.close());
      if (this.config.readInterruptPin() !== 0) this.#enableIntx();
      environment.protocol.realize(this, vm, environment.others, (undo) => this.#close.push(undo));
      if (this.#hasIrq(VFIO_PCI_REQ_IRQ_INDEX)) this.#request.enable();
      this.#close.push(() => this.#request.close());
      this.#blockerWatch = new BlockerWatch(this, vm, loop);
      this.#close.push(() => this.#blockerWatch.close());
      if (options.blocker !== false) this.#blockerWatch.enable();
      this.#notice = environment.notify ? MigrationNotice.of(this.fd) : undefined;
    } catch (error) {
      this.close();
      throw this.#explain(error);
    }
  }

  get userBlocker(): MigrationBlocker | undefined {
    return this.#blockerWatch.blocker;
  }
  get notifies(): boolean {
    return this.#notice !== undefined;
  }

  noticeStart(): void {
    this.#notice?.start();
  }
  noticeEnd(): void {
    this.#notice?.end();
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

  saveConfig(): Uint8Array {
    return this.config.save();
  }
  loadConfig(data: Uint8Array): void {
    if (!this.config.load(data)) throw new VfioError(`${this.name}: Failed to load device config space`);
  }

  reset(): void {
    this.migration?.reset();
  }

  /** A reset of the machine: the device has no reset of its own that QEMU may use, so only its config space is set back. */
  resetByMachine(): void {
    const hadIntx = this.#intx.enabled;
    this.#intx.disable();
    this.#pending = false;
    this.config.disable();
    try {
      vfioIoctl(this.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio_pci_hot_reset_info);
    } catch (error) {
      if (!isErrno(error)) throw error;
    }
    if (hadIntx) this.#enableIntx();
    this.config.clearBars();
  }

  properties(): ReadonlyMap<string, { readonly type: string; readonly value: string | boolean | number }> {
    return new Map<string, { type: string; value: string | boolean | number }>([
      ['type', { type: 'string', value: 'vfio-pci' }],
      ['realized', { type: 'bool', value: true }],
      ['hotplugged', { type: 'bool', value: false }],
      ['sysfsdev', { type: 'str', value: this.options.sysfsdev }],
      ['enable-migration', { type: 'OnOffAuto', value: this.enableMigration }],
      ['migration-events', { type: 'bool', value: this.options.migrationEvents ?? false }],
      ['x-device-dirty-page-tracking', { type: 'OnOffAuto', value: this.options.deviceDirtyTracking === false ? 'off' : 'on' }],
      ['x-pre-copy-dirty-page-tracking', { type: 'OnOffAuto', value: 'on' }],
    ]);
  }

  /** Undoes the constructor, in reverse. Idempotent. */
  close(): void {
    for (let undo = this.#close.pop(); undo !== undefined; undo = this.#close.pop()) undo();
  }

  #bar(index: number): Region {
    const region = this.#regions[index];
    if (region === undefined) throw new RangeError(`BAR ${index}`);
    return region;
  }

  #enableIntx(): void {
    if (this.config.readInterruptPin() !== 0) this.#intx.enable();
  }

  #interrupt(): void {
    this.#pending = true;
    if (this.#vm.running) this.onInterrupt?.();
  }

  #endOfInterrupt(): void {
    if (!this.#pending) return;
    this.#pending = false;
    this.#intx.unmask();
  }

  /** EINVAL is how a device says that it has no such interrupt. */
  #hasIrq(index: number): boolean {
    try {
      return irqCount(this.fd, index) > 0;
    } catch (error) {
      if (isErrno(error)) return false;
      throw error;
    }
  }

  #fault(error: unknown): void {
    this.#vm.environment.log('error', `${this.name}: ${error instanceof Error ? error.message : String(error)}`);
  }

  #explain(error: unknown): unknown {
    if (error instanceof VfioError) return new VfioError(`vfio ${this.name}: ${error.message}`, error.errno);
    return isErrno(error) ? new VfioError(`vfio ${this.name}: ${strerror(error.errno)}`, error.errno) : error;
  }
}
