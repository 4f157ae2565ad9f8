/**
 * Binding and unbinding an mdev: the driver's probe, VFIO's registration, and both undone in reverse. Sources, for the order:
 * drivers/base/dd.c: really_probe(), device_release_driver(), drivers/vfio/vfio_main.c: __vfio_register_dev(),
 * vfio_unregister_group_dev().
 */
import { Errno } from '../abi/errno.js';
import type { Caller } from '../kernfs/caller.js';
import { logError } from '../trace/trace.js';
import type { MdevDevice } from './device.js';
import { VfioCdevDevice, VfioGroupDevice } from './vfio-sysfs.js';

/** Throws what probe() or the registration throws; then the device is as before. */
export function bindDriver(mdev: MdevDevice): void {
  const { machine, type } = mdev;
  const { core, driver, ops } = type.parent;
  mdev.bound = true;
  try {
    mdev.adopt(ops.probe(mdev, type.description));
    registerVfio(mdev);
  } catch (error) {
    if (error instanceof Errno) mdev.log(`probe with driver ${driver.name} failed with error -${error.errno}`);
    mdev.bound = false;
    removeInstance(mdev);
    throw error;
  }
  driver.devices.add(mdev.name, mdev);
  core.vfio.debug.add(mdev.name, mdev);
  if (mdev.instance?.debugfs?.mdevsim !== undefined) core.vfio.faults.add(mdev.name, mdev);
  machine.uevents.emit('bind', mdev);
}

/** vfio_register_emulated_iommu_dev() */
function registerVfio(mdev: MdevDevice): void {
  const { machine, instance, type } = mdev;
  const { registrar, vfio } = type.parent.core;
  if (instance === undefined) throw new Error(`${mdev.name} has not been probed`);
  mdev.index = vfio.indexes.alloc();
  const iommuGroup = machine.iommuGroups.add(mdev);
  mdev.group = iommuGroup.number;
  try {
    mdev.binding = registrar.register(mdev, instance.vfio);
  } catch (error) {
    void machine.iommuGroups.remove(iommuGroup);
    vfio.indexes.free(mdev.index);
    throw error;
  }
  mdev.iommuGroup = iommuGroup;
  mdev.vfioGroup = new VfioGroupDevice(mdev, vfio);
  machine.addDevice(mdev.vfioGroup);
  mdev.vfioCdev = new VfioCdevDevice(mdev, vfio);
  machine.addDevice(mdev.vfioCdev, true);
}

/**
 * device_release_driver(): waits for operations on the driver's attributes, then for the last open device fd. Undefined when
 * there was nothing to wait for. `caller` is who asked, for the log.
 */
export function unbindDriver(mdev: MdevDevice, caller: Caller | undefined): Promise<void> | undefined {
  if (mdev.unbinding !== undefined || !mdev.bound) return mdev.unbinding;
  const { driver } = mdev.type.parent;
  void driver.devices.delete(mdev.name);
  mdev.bound = false;
  const attributes = mdev.liveDirectory?.refresh();
  const rest = (): Promise<void> | undefined => {
    const released = closeVfio(mdev);
    if (released === undefined) {
      finish(mdev);
      return undefined;
    }
    logBusy(mdev, caller);
    return released.then(() => finish(mdev));
  };
  const wait = attributes === undefined ? rest() : attributes.then(rest);
  if (wait === undefined) return undefined;
  mdev.unbinding = wait.finally(() => { mdev.unbinding = undefined; });
  return mdev.unbinding;
}

/** No new opens, the character device gone; the promise is for those that are open. */
function closeVfio(mdev: MdevDevice): Promise<void> | undefined {
  const released = mdev.binding?.unregister();
  const { machine, vfioCdev } = mdev;
  if (vfioCdev === undefined) return released;
  mdev.vfioCdev = undefined;
  void machine.removeDevice(vfioCdev, true);
  const shown = mdev.liveDirectory?.refresh();
  return shown === undefined ? released : Promise.all([shown, released]).then(() => undefined);
}

/** Nobody has the device open any more. */
function finish(mdev: MdevDevice): void {
  const { machine, type, vfioGroup, iommuGroup, binding } = mdev;
  const { vfio } = type.parent.core;
  void vfio.debug.delete(mdev.name);
  void vfio.faults.delete(mdev.name);
  if (vfioGroup !== undefined) void machine.removeDevice(vfioGroup);
  if (iommuGroup !== undefined) void machine.iommuGroups.remove(iommuGroup);
  binding?.release();
  vfio.indexes.free(mdev.index);
  removeInstance(mdev);
  mdev.vfioGroup = undefined;
  mdev.iommuGroup = undefined;
  mdev.binding = undefined;
  void mdev.liveDirectory?.refresh();
  machine.uevents.emit('unbind', mdev);
}

/** The driver's remove() returns nothing, so that it can refuse nothing: what it throws is its own defect. */
function removeInstance(mdev: MdevDevice): void {
  try {
    mdev.instance?.remove();
  } catch (error) {
    logError(`remove of ${mdev.name}`, error);
  }
  mdev.instance = undefined;
}

function logBusy(mdev: MdevDevice, caller: Caller | undefined): void {
  const task = `task "${caller?.comm ?? 'mdevsim'}" (${caller?.tid ?? process.pid})`;
  mdev.log(`Device is currently in use, ${task} blocked until device is released`);
}
