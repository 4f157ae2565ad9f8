/** The VM's VFIO devices: plugging, unplugging, resets. Source: QEMU's system/qdev-monitor.c: qdev_device_add(). */
import { readFileSync } from 'node:fs';
import { VFIO_DEVICE_API_AP_STRING } from '../../abi/vfio.js';
import type { MainLoop } from '../main-loop.js';
import type { VfioPciOptions } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { Vm } from '../vm/vm.js';
import { ApDevice } from './ap-device.js';
import type { Backend, Container } from './container.js';
import { IommufdBackend } from './container-iommufd.js';
import { GroupBackend } from './container-type1.js';
import type { LoggedDevice } from './dirty-logs.js';
import type { HostDevice } from './host-device.js';
import type { PciAddress } from './pci-address.js';
import { parseAddress, placeOnBus, ROOT_BUSES } from './pci-address.js';
import { PciDevice } from './pci-device.js';
import { createProtocol } from './protocol.js';
import type { ContainerLog, MigrationProtocol } from './protocol.js';

export interface DeviceHostOptions {
  /** Tell drivers when migrations start and end. */
  readonly notify?: boolean | undefined;
  /** Default v2. */
  readonly protocol?: MigrationProtocol | undefined;
  /** The driver wants a device back (its REQ interrupt). Default: it is removed, with QEMU's DEVICE_DELETED. */
  readonly onUnplugRequest?: ((device: HostDevice) => void) | undefined;
  /** A migration comes in. Default: never. */
  readonly loading?: (() => boolean) | undefined;
}

const KINDS = { 'vfio-ap': ApDevice, 'vfio-pci': PciDevice } as const;

/** As asked for, or by the mdev's device API. What is no mdev, or not there, is taken for vfio-pci, which says what is wrong. */
function kindOf({ sysfsdev, driver }: VfioPciOptions): typeof ApDevice | typeof PciDevice {
  if (driver !== undefined) return KINDS[driver];
  try {
    return readFileSync(`${sysfsdev}/mdev_type/device_api`, 'latin1').trim() === VFIO_DEVICE_API_AP_STRING ? ApDevice : PciDevice;
  } catch {
    return PciDevice;
  }
}

export class VfioDevices {
  readonly #vm: Vm;
  readonly #loop: MainLoop;
  readonly #options: DeviceHostOptions;
  readonly #group: Backend;
  readonly #iommufd: Backend;
  readonly #devices: HostDevice[] = [];
  /** The machine is there: what is added now is hotplugged. */
  #complete = false;
  readonly #protocol: MigrationProtocol;
  readonly #logs = new Map<Container, { readonly log: ContainerLog; readonly remove: () => void }>();
  readonly #unplugging = new Set<HostDevice>();
  #anonymous = 0;

  constructor(vm: Vm, loop: MainLoop, options: DeviceHostOptions = {}) {
    this.#vm = vm;
    this.#loop = loop;
    this.#options = options;
    this.#protocol = options.protocol ?? createProtocol('v2');
    this.#group = new GroupBackend(vm.ram);
    this.#iommufd = new IommufdBackend(vm.ram);
  }

  /** Oldest first. */
  get all(): readonly HostDevice[] {
    return this.#devices;
  }

  find(id: string): HostDevice | undefined {
    return this.#devices.find((device) => device.id === id || device.qomPath === id);
  }

  /** Throws VfioError with QEMU's text: a duplicate id, no such device, or whatever keeps it from being opened. */
  add(options: VfioPciOptions): HostDevice {
    const { id, bus } = options;
    const kind = kindOf(options);
    if (bus !== undefined && !(kind === PciDevice && ROOT_BUSES.includes(bus))) throw new VfioError(`Bus '${bus}' not found`);
    if (id !== undefined && this.find(id) !== undefined) throw new VfioError(`Duplicate device ID '${id}'`);
    const place = kind === PciDevice ? this.#pciPlace(options.addr) : { slot: this.#apNumber(), function: 0 };
    const qomPath = id === undefined ? `/machine/peripheral-anon/device[${this.#anonymous}]` : `/machine/peripheral/${id}`;
    const device = new kind(options, { qomPath, hotplugged: this.#complete, ...place }, {
      vm: this.#vm, loop: this.#loop, notify: this.#options.notify === true, protocol: this.#protocol,
      backend: options.iommufd === true ? this.#iommufd : this.#group,
      others: this.#devices, unplug: this.#options.onUnplugRequest ?? ((wanted): void => this.#requested(wanted)),
    });
    device.realize();
    if (id === undefined) this.#anonymous++;
    this.#devices.push(device);
    this.#vm.devices.push(device);
    this.#log(device).devices.unshift(this.#logged(device));
    return device;
  }

  /**
   * Closes the device, and says so as QEMU does. While a migration comes in there is no guest to agree to it, and QEMU keeps the
   * device: it goes when the guest runs. Throws VfioError where that has been asked for already, and while a migration goes out.
   */
  unplug(device: HostDevice): void {
    if (!this.#devices.includes(device)) return;
    if (this.#vm.migrationIsRunning()) throw new VfioError('device_del not allowed while migrating');
    if (this.#vm.state !== 'inmigrate' || this.#options.loading?.() !== true) return this.#delete(device);
    if (this.#unplugging.has(device)) throw new VfioError(`Device ${device.id} is already in the process of unplug`);
    this.#unplugging.add(device);
    const stop = this.#vm.handlers.add({
      change: (running) => {
        if (!running) return;
        stop();
        void this.#loop.run(() => this.#delete(device));
      },
    });
  }

  /** vfio_req_notifier_handler(): where it can't be done now, the kernel asks again. */
  #requested(device: HostDevice): void {
    try {
      this.unplug(device);
    } catch (error) {
      if (!(error instanceof VfioError)) throw error;
      this.#vm.environment.log('warning', error.message);
    }
  }

  #delete(device: HostDevice): void {
    if (!this.#devices.includes(device)) return;
    this.remove(device);
    this.#vm.environment.event('DEVICE_DELETED', { ...(device.id === '' ? {} : { device: device.id }), path: device.qomPath });
  }

  remove(device: HostDevice): void {
    const container = device.opened.container;
    for (const list of [this.#devices, this.#vm.devices]) {
      const at = (list as unknown[]).indexOf(device);
      if (at >= 0) list.splice(at, 1);
    }
    const entry = this.#logs.get(container);
    if (entry !== undefined) {
      const logged = entry.log.devices.find(({ fd }) => fd === device.fd);
      if (logged !== undefined) entry.log.remove(logged);
      if (entry.log.devices.length === 0) {
        entry.remove();
        this.#logs.delete(container);
      }
    }
    device.close();
  }

  /** A reset of the machine: QEMU resets devices that need it with their bus (vfio_reset_handler()), then every one by itself. */
  reset(): void {
    this.#complete = true;
    const newestFirst = [...this.#devices].reverse();
    for (const device of newestFirst) if (device.needsBusReset) device.resetByMachine();
    for (const device of newestFirst) device.resetByMachine();
  }

  /** The process ends: in the order in which the kernel closes the descriptors of one that exits. */
  close(): void {
    this.#group.leave();
    this.#iommufd.leave();
    for (const device of [...this.#devices]) this.remove(device);
  }

  #pciPlace(addr: string | undefined): PciAddress {
    const occupants = this.#devices.flatMap(({ api, id, place }) => (api === 'vfio-pci' ? [{ ...place, id }] : []));
    return placeOnBus(occupants, addr === undefined ? undefined : parseAddress(addr), this.#complete);
  }

  /** The AP bus has no addresses: the first number that is free, for the stream. */
  #apNumber(): number {
    const taken = new Set(this.#devices.flatMap(({ api, place }) => (api === 'vfio-ap' ? [place.slot] : [])));
    for (let number = 1; ; number++) if (!taken.has(number)) return number;
  }

  #log(device: HostDevice): ContainerLog {
    const { container } = device.opened;
    const known = this.#logs.get(container);
    if (known !== undefined) return known.log;
    const log = this.#protocol.log(container, this.#vm.ram);
    this.#logs.set(container, { log, remove: this.#vm.memory.addLog(log) });
    return log;
  }

  #logged({ fd, name, opened, dirtyTracking, migration, options }: HostDevice): LoggedDevice {
    const preCopyTracking = options.preCopyDirtyTracking !== 'off';
    return { fd, name, container: opened.container, dirtyTracking, preCopyTracking, migration };
  }
}
