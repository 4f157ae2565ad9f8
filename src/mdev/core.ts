/**
 * MdevCore: the mdev bus of a machine. Registers drivers with their parents, creates and removes devices. Source:
 * drivers/vfio/mdev/mdev_core.c, mdev_driver.c.
 *
 * The lab makes one per machine and gives it VFIO as a registrar.
 */
import { Errno } from '../abi/errno.js';
import type { Bus } from '../device/bus.js';
import type { Class } from '../device/class.js';
import { deviceLinks } from '../device/class.js';
import { DeviceIno } from '../device/device.js';
import type { Device } from '../device/device.js';
import type { Members } from '../device/lazy-dir.js';
import type { Machine } from '../device/machine.js';
import { moduleParameters } from '../device/module.js';
import type { ReadonlyNameMap } from '../device/name-map.js';
import { NameMap } from '../device/name-map.js';
import type { Caller } from '../kernfs/caller.js';
import { trace } from '../trace/trace.js';
import { MdevDevice } from './device.js';
import type { MdevDriver } from './driver.js';
import { bindDriver, unbindDriver } from './lifecycle.js';
import { MdevRegistration } from './registration.js';
import type { MdevType } from './type.js';
import { isUuid } from './uuid.js';
import type { VfioRegistrar } from './vfio-hooks.js';
import { VfioSysfs } from './vfio-sysfs.js';

export interface MdevEvent {
  /** `removing`: removal has begun; `removed`: the device is gone. */
  readonly kind: 'created' | 'removing' | 'removed';
  readonly device: MdevDevice;
}

export type MdevListener = (event: MdevEvent) => void;

export class MdevCore {
  readonly machine: Machine;
  readonly registrar: VfioRegistrar;
  readonly bus: Bus;
  readonly vfio: VfioSysfs;
  /** class/mdev_bus: links to the parents. */
  readonly parents: Members<Device>;
  readonly #devices = new NameMap<MdevDevice>();
  readonly #registrations = new Map<string, MdevRegistration>();
  readonly #listeners = new Set<MdevListener>();

  constructor(machine: Machine, registrar: VfioRegistrar) {
    this.machine = machine;
    this.registrar = registrar;
    this.vfio = new VfioSysfs(machine);
    this.bus = machine.addBus('mdev');
    this.parents = compatClass(machine.class('mdev_bus'));
    machine.addModule({ name: 'vfio', version: '0.3', builtin: true });
    const type1 = moduleParameters({ allow_unsafe_interrupts: 'N', disable_hugepages: 'N', dma_entry_limit: '65535' });
    machine.addModule({ name: 'vfio_iommu_type1', version: '0.2', builtin: true, parameters: [type1] });
    machine.addModule({ name: 'iommufd', builtin: true, parameters: [moduleParameters({ allow_unsafe_interrupts: 'N' })] });
    machine.addModule({ name: 'mdev', version: '0.1' });
  }

  /** All devices by UUID, also those that are being removed. */
  get devices(): ReadonlyNameMap<MdevDevice> {
    return this.#devices;
  }
  get registrations(): ReadonlyMap<string, MdevRegistration> {
    return this.#registrations;
  }

  /** Calls `listener` synchronously for each event. Returns the function that ends it. */
  subscribe(listener: MdevListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Loads a driver and registers `parents` parent devices. Throws EEXIST when a driver of that name is loaded. */
  registerDriver(driver: MdevDriver, parents = 1): MdevRegistration {
    if (this.#registrations.has(driver.name)) throw new Errno('EEXIST', `driver ${driver.name}`);
    const registration = new MdevRegistration(this, driver, parents);
    this.#registrations.set(driver.name, registration);
    return registration;
  }

  /** Only MdevRegistration.unregister() calls it. */
  forget(registration: MdevRegistration): void {
    this.#registrations.delete(registration.driver.name);
  }

  /**
   * mdev_device_create(). `uuid` in any case. Throws EINVAL for what is no UUID, EEXIST for a UUID that any device of the
   * machine has, ENODEV while the driver is being unloaded, ENOSPC (or what else the driver says) when nothing is left; then
   * nothing has changed.
   */
  create(type: MdevType, uuid: string): MdevDevice {
    const name = uuid.toLowerCase();
    if (!isUuid(name)) throw new Errno('EINVAL', `${uuid} is no UUID`);
    if (this.#devices.has(name)) throw new Errno('EEXIST', name);
    if (type.parent.leaving) throw new Errno('ENODEV', type.parent.name);
    const mdev = new MdevDevice(name, type);
    this.#devices.set(name, mdev);
    type.parent.children.add(name, mdev);
    this.bus.devices.add(name, mdev);
    this.machine.addDevice(mdev, true);
    try {
      bindDriver(mdev);
    } catch (error) {
      this.#gone(mdev);
      throw error;
    }
    type.devices.add(name, mdev);
    trace('mdev.create', { uuid: name, type: type.name, parent: type.parent.name });
    this.#tell('created', mdev);
    return mdev;
  }

  /**
   * mdev_device_remove(): at once everything but `iommu_group` is out of the tree. Undefined when the device is gone when
   * this returns; otherwise it is in use, and the promise resolves when it is gone. `caller` is who asked, for the log.
   */
  remove(mdev: MdevDevice, caller?: Caller): Promise<void> | undefined {
    if (mdev.deleted) return mdev.removal;
    mdev.deleted = true;
    this.#tell('removing', mdev);
    void mdev.type.devices.delete(mdev.name);
    void this.bus.devices.delete(mdev.name);
    const attributes = mdev.liveDirectory?.refresh();
    const unbound = attributes === undefined ? unbindDriver(mdev, caller) : attributes.then(() => unbindDriver(mdev, caller));
    if (unbound === undefined) {
      this.#removed(mdev, false);
      return undefined;
    }
    mdev.removal = unbound.then(() => this.#removed(mdev, true));
    return mdev.removal;
  }

  #removed(mdev: MdevDevice, waited: boolean): void {
    this.#gone(mdev);
    trace('mdev.remove', { uuid: mdev.name, waited });
    this.#tell('removed', mdev);
  }

  #gone(mdev: MdevDevice): void {
    void this.bus.devices.delete(mdev.name);
    void mdev.type.parent.children.delete(mdev.name);
    this.#devices.delete(mdev.name);
    void this.machine.removeDevice(mdev, true);
  }

  #tell(kind: MdevEvent['kind'], device: MdevDevice): void {
    for (const listener of this.#listeners) listener({ kind, device });
  }
}

/** class_compat_register(): a class directory whose devices belong to other classes. */
function compatClass({ dir, path }: Class): Members<Device> {
  const links = deviceLinks(path, DeviceIno.Compat);
  dir.addSource(links);
  return links;
}
