/**
 * What devices of every API have: they are opened, migrate, can be wanted back, can be blocked. Source: QEMU's hw/vfio/device.c and
 * what hw/vfio/pci.c and ap.c have in common. The order of ioctls is QEMU's, as recorded with vfio-pci.
 */
import { basename } from 'node:path';
import { lstatSync } from 'node:fs';
import { isErrno } from '../../abi/errno.js';
import { VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../abi/vfio.js';
import { strerror } from '../../sys/strerror.js';
import { watchFailure } from '../../sys/watch.js';
import type { MainLoop } from '../main-loop.js';
import type { MigrationBlocker } from '../vm/blockers.js';
import type { ConfigAccess, MigrationSide, OnOffAuto, VfioPciDevice, VfioPciOptions } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { Vm } from '../vm/vm.js';
import { BlockerWatch } from './blocker-watch.js';
import type { WatchedAttribute } from './blocker-watch.js';
import type { Backend, OpenedDevice } from './container.js';
import { vfioIoctl } from './ioctl.js';
import { DeviceIrq, irqCount } from './irqs.js';
import { MigrationNotice } from './notice.js';
import type { PciAddress } from './pci-address.js';
import type { MigrationProtocol } from './protocol.js';

export interface DeviceEnvironment {
  readonly vm: Vm;
  readonly loop: MainLoop;
  readonly backend: Backend;
  /** Tell the driver when migrations start and end (--notify). */
  readonly notify: boolean;
  readonly protocol: MigrationProtocol;
  /** Devices that are there already, for what QEMU checks across devices. */
  readonly others: readonly HostDevice[];
  /** The driver wants the device back (REQ interrupt). */
  readonly unplug: (device: HostDevice) => void;
}

/** Where a device is in the machine. */
export interface DevicePlace extends PciAddress {
  readonly qomPath: string;
  /** The machine was complete when the device came. */
  readonly hotplugged: boolean;
}

export abstract class HostDevice implements VfioPciDevice {
  readonly options: VfioPciOptions;
  readonly id: string;
  readonly name: string;
  readonly qomPath: string;
  readonly place: DevicePlace;
  readonly fd: number;
  /** VFIO_DEVICE_FLAGS_* */
  protected readonly flags: number;
  readonly opened: OpenedDevice;
  protected readonly environment: DeviceEnvironment;
  readonly #watches: BlockerWatch[] = [];
  #notice: MigrationNotice | undefined;
  readonly #close: (() => void)[] = [];
  #closed = false;
  enableMigration: OnOffAuto;
  migration: MigrationSide | undefined;
  realizeBlocker: MigrationBlocker | undefined;
  dirtyTracking = false;
  multifdTransfer: OnOffAuto;

  abstract readonly api: 'vfio-ap' | 'vfio-pci';
  abstract readonly sectionId: string;
  abstract readonly dma: boolean;
  abstract readonly config: ConfigAccess;
  /** The interrupt by which the driver wants the device back. */
  protected abstract readonly requestIndex: number;
  /** The attributes that block migration, with their interrupts. */
  protected abstract readonly watched: readonly WatchedAttribute[];
  /** A reset of the machine. */
  abstract resetByMachine(): void;
  /** It has no reset of its own: the machine's is tried with the bus, before those of all devices. */
  get needsBusReset(): boolean {
    return false;
  }

  /**
   * Opens the device. The constructors of APIs set up what only they have; then realize() must follow. Throws VfioError with
   * QEMU's text, as all of these; then nothing stays open.
   */
  constructor(options: VfioPciOptions, place: DevicePlace, environment: DeviceEnvironment) {
    if (options.sysfsdev === '') throw new VfioError('No provided host device');
    if (lstatSync(options.sysfsdev, { throwIfNoEntry: false }) === undefined) {
      throw new VfioError(`vfio ${options.sysfsdev}: no such host device: No such file or directory`);
    }
    this.options = options;
    this.id = options.id ?? '';
    this.name = basename(options.sysfsdev);
    this.qomPath = place.qomPath;
    this.place = place;
    this.enableMigration = options.enableMigration ?? 'auto';
    this.multifdTransfer = options.multifdTransfer ?? 'auto';
    this.environment = environment;
    try {
      // The kernel would give a group's device twice; of a cdev it refuses the second.
      const attached = environment.others.some(({ name, options: { iommufd } }) => name === this.name && iommufd !== true);
      if (attached && options.iommufd !== true) throw new VfioError('device is already attached');
      this.opened = environment.backend.open(options.sysfsdev, this.name);
      this.fd = this.opened.fd;
      // The data_fd after the device, as in a QEMU that ends: the kernel closes the lower number first.
      this.undo(() => this.migration?.closeData());
      this.undo(() => this.opened.close());
      this.flags = vfioIoctl(this.fd, VFIO_DEVICE_GET_INFO, vfio_device_info).flags;
    } catch (error) {
      throw this.failed(error);
    }
  }

  /** What has to do with migration, and the interrupts that all devices have. */
  realize(): void {
    const { vm, loop, protocol, others, notify, unplug } = this.environment;
    this.undo(watchFailure(this.fd, () => vm.devicesLost(this.name)));
    try {
      protocol.realize(this, vm, others, (run) => this.undo(run));
      if (this.hasIrq(this.requestIndex)) this.listen(this.requestIndex, () => unplug(this)).enable();
      for (const attribute of this.watched) {
        const watch = new BlockerWatch(this, attribute, vm, loop);
        this.#watches.push(watch);
        this.undo(() => watch.close());
        if (this.options.blocker !== false) watch.enable();
      }
      this.#notice = notify ? MigrationNotice.of(this.fd) : undefined;
    } catch (error) {
      throw this.failed(error);
    }
  }

  get userBlocker(): MigrationBlocker | undefined {
    return this.#watches.find(({ blocker }) => blocker !== undefined)?.blocker;
  }
  /** An attribute that is watched blocks migration. */
  get blocked(): boolean {
    return this.#watches.some(({ blocked }) => blocked);
  }
  /** Its number may be another file's by now. */
  get closed(): boolean {
    return this.#closed;
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

  abstract saveConfig(): Uint8Array;
  abstract loadConfig(data: Uint8Array): void;

  reset(): void {
    this.migration?.reset();
  }

  properties(): ReadonlyMap<string, { readonly type: string; readonly value: string | boolean | number }> {
    return new Map<string, { type: string; value: string | boolean | number }>([
      ['type', { type: 'string', value: this.api }],
      ['realized', { type: 'bool', value: true }],
      ['hotplugged', { type: 'bool', value: this.place.hotplugged }],
      ['hotpluggable', { type: 'bool', value: true }],
      ['sysfsdev', { type: 'str', value: this.options.sysfsdev }],
      ['enable-migration', { type: 'OnOffAuto', value: this.enableMigration }],
      ['migration-events', { type: 'bool', value: this.options.migrationEvents ?? false }],
      ['x-device-dirty-page-tracking', { type: 'OnOffAuto', value: this.options.deviceDirtyTracking ?? 'on' }],
      ['x-pre-copy-dirty-page-tracking', { type: 'OnOffAuto', value: this.options.preCopyDirtyTracking ?? 'on' }],
      ['x-migration-multifd-transfer', { type: 'OnOffAuto', value: this.multifdTransfer }],
    ]);
  }

  /** Undoes everything, in reverse. Idempotent. */
  close(): void {
    this.#closed = true;
    for (let undo = this.#close.pop(); undo !== undefined; undo = this.#close.pop()) undo();
  }

  /** What close() must take back. */
  protected undo(run: () => void): void {
    this.#close.push(run);
  }

  /** An interrupt's eventfd, not yet enabled; closed with the device. */
  protected listen(index: number, handler: () => void): DeviceIrq {
    const irq = new DeviceIrq(this.fd, index, this.environment.loop, handler, (error) => this.#fault(error));
    this.undo(() => irq.close());
    return irq;
  }

  /** EINVAL is how a device says that it has no such interrupt. */
  protected hasIrq(index: number): boolean {
    try {
      return irqCount(this.fd, index) > 0;
    } catch (error) {
      if (isErrno(error)) return false;
      throw error;
    }
  }

  /** Closes what was open; the error with QEMU's text. */
  protected failed(error: unknown): unknown {
    this.close();
    if (error instanceof VfioError) return new VfioError(`vfio ${this.name}: ${error.message}`, error.errno);
    return isErrno(error) ? new VfioError(`vfio ${this.name}: ${strerror(error.errno)}`, error.errno) : error;
  }

  #fault(error: unknown): void {
    this.environment.vm.environment.log('error', `${this.name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
