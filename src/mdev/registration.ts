/** MdevRegistration: a loaded driver with its parents. Loading and unloading in the order of samples/vfio-mdev/mtty.c. */
import { Errno } from '../abi/errno.js';
import { Driver } from '../device/driver.js';
import type { Module } from '../device/module.js';
import type { Awaitable } from '../kernfs/file.js';
import { interruptible } from '../kernfs/interrupt.js';
import type { AttributeRequest } from '../sysfs/attribute.js';
import type { Device } from '../device/device.js';
import type { UeventAction, UeventSource } from '../device/uevent.js';
import type { MdevCore } from './core.js';
import { MdevDevice } from './device.js';
import type { MdevDriver, MdevDriverSetup } from './driver.js';
import { unbindDriver } from './lifecycle.js';
import { MdevParent } from './parent.js';
import type { MdevType } from './type.js';

export class MdevRegistration {
  readonly core: MdevCore;
  readonly driver: MdevDriver;
  readonly parents: readonly MdevParent[];
  readonly #bound: Driver;
  readonly #module: Module;
  readonly #setup: MdevDriverSetup | undefined;
  /** Undefined where the parents are on a bus. */
  readonly #className: string | undefined;
  /** Set when unloading has begun; resolves at its end. */
  #unloading: Promise<void> | undefined = undefined;
  #unloaded = false;

  /** Only MdevCore.registerDriver() makes one. */
  constructor(core: MdevCore, driver: MdevDriver, parents: number) {
    const { machine, bus } = core;
    this.core = core;
    this.driver = driver;
    this.#bound = new Driver(bus, driver.busName ?? driver.name, driver.name, detach);
    this.#module = machine.addModule({ name: driver.name, version: '0.1', uses: ['vfio', 'mdev'] });
    bus.drivers.add(this.#bound.name, this.#bound);
    this.#module.drivers.add(`${bus.name}:${this.#bound.name}`, this.#bound);
    this.#emit('add', this.#bound);
    this.#setup = driver.setUp?.(machine);
    const parentDriver = this.#setup?.parentDriver;
    this.#className = parentDriver === undefined ? driver.parentClass ?? driver.name : undefined;
    const home = parentDriver ?? machine.class(driver.parentClass ?? driver.name);
    if (parentDriver === undefined) this.#emit('add', home);
    this.parents = Array.from({ length: parents }, (_, n) => new MdevParent(core, this.#bound, driver, n, home));
    for (const parent of this.parents) {
      parentDriver?.bus.devices.add(parent.name, parent);
      machine.addDevice(parent);
      parentDriver?.devices.add(parent.name, parent);
      core.parents.add(parent.name, parent);
      this.#emit('change', parent, ['MDEV_STATE=registered']);
      parent.log('MDEV: Registered');
    }
    this.#emit('add', this.#module);
  }

  /** The type of that name (`mtty-1`) of the first parent or of the named one. Throws ENODEV where there is none. */
  type(name: string, parentName?: string): MdevType {
    const parent = parentName === undefined ? this.parents[0] : this.parents.find((each) => each.name === parentName);
    const type = parent?.types.get(name);
    if (type === undefined) throw new Errno('ENODEV', `no type ${name}${parentName === undefined ? '' : ` on ${parentName}`}`);
    return type;
  }

  /**
   * Unloads the driver: removes all its devices, then its parents. Throws EAGAIN, as delete_module(2), while one of its
   * devices is open; then nothing has changed.
   */
  unregister(): Awaitable<void> {
    if (this.#unloaded) return this.#unloading;
    const devices = this.parents.flatMap((parent) => [...parent.children.values()]);
    if (devices.some((device) => device.inUse)) throw new Errno('EAGAIN', `a device of ${this.driver.name} is open`);
    this.#unloaded = true;
    for (const parent of this.parents) parent.leaving = true;
    for (const parent of this.parents) parent.log('MDEV: Unregistering');
    const waits = devices.map((device) => this.core.remove(device)).filter((wait) => wait !== undefined);
    if (waits.length === 0) return this.#finish();
    this.#unloading = Promise.all(waits).then(() => this.#finish());
    return this.#unloading;
  }

  #finish(): void {
    const { core } = this;
    const { machine, bus } = core;
    for (const parent of this.parents) {
      this.#emit('change', parent, ['MDEV_STATE=unregistered']);
      void core.parents.delete(parent.name);
      void parent.bound?.devices.delete(parent.name);
      void machine.removeDevice(parent);
      void parent.bound?.bus.devices.delete(parent.name);
    }
    void bus.drivers.delete(this.#bound.name);
    this.#emit('remove', this.#bound);
    if (this.#className !== undefined) this.#removeClass(this.#className);
    this.#setup?.undo();
    machine.removeModule(this.#module);
    this.#emit('remove', this.#module);
    core.forget(this);
  }

  #removeClass(name: string): void {
    const { machine } = this.core;
    const parentClass = machine.class(name);
    machine.removeClass(name);
    this.#emit('remove', parentClass);
  }

  #emit(action: UeventAction, source: UeventSource, env: readonly string[] = []): void {
    this.core.machine.uevents.emit(action, source, env);
  }
}

/** device_driver_detach(): as a removal's, the wait for a device in use ends with EINTR when the caller is interrupted. */
function detach(device: Device, request: AttributeRequest): Awaitable<void> {
  if (!(device instanceof MdevDevice)) throw new Errno('ENODEV');
  const wait = unbindDriver(device, request.caller);
  return wait === undefined ? undefined : interruptible(wait, request.signal);
}
