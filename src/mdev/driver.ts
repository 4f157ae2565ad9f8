/**
 * MdevDriver: the contract of a driver, as include/linux/mdev.h has it (struct mdev_driver, mdev_parent, mdev_type).
 */
import type { Driver } from '../device/driver.js';
import type { Machine } from '../device/machine.js';
import type { AttributeGroup } from '../sysfs/group.js';
import type { VfioDeviceOps } from '../vfio/device.js';

export interface MdevTypeDescription {
  /** Directory name below mdev_supported_types/, `mtty-1`: <driver>-<sysfs_name>. */
  readonly name: string;
  /** Content of `name`, without newline; attribute left out when undefined. */
  readonly prettyName?: string;
  /** Content of `description`, without newline; attribute left out when undefined. */
  readonly description?: string;
  /** `vfio-pci`, `vfio-ap`. */
  readonly deviceApi: string;
}

/** One parent's driver state. */
export interface MdevParentOps {
  readonly types: readonly MdevTypeDescription[];
  /** get_available(): instances of that type that can be created now. */
  availableInstances(type: MdevTypeDescription): number;
  /** probe(): throws ENOSPC when nothing is left; then nothing has changed. */
  probe(device: MdevIdentity, type: MdevTypeDescription): MdevInstance;
}

export interface MdevIdentity {
  /** Lower case. */
  readonly uuid: string;
  /** Kernel log line of this device. */
  log(message: string): void;
  /** sysfs_notify(): wakes those who poll an attribute of the device's directory (`migration_block`). Absent in tests' fakes. */
  notify?(attribute: string): void;
}

/** A probed mdev. */
export interface MdevInstance {
  readonly vfio: VfioDeviceOps;
  /** Vendor attributes: in the mdev's directory (group name undefined) or in a subdirectory. */
  readonly groups: readonly AttributeGroup[];
  /** Files for debugfs vfio/<dev>/ (migration/state ...) and mdevsim/<uuid>/ (policy, faults). */
  readonly debugfs?: { readonly vfio?: readonly AttributeGroup[]; readonly mdevsim?: readonly AttributeGroup[] };
  /** remove(): gives everything back. Called once, after the last fd is closed. Must not throw: nothing can keep the device then. */
  remove(): void;
}

/** What a driver has put into the machine besides its parents. */
export interface MdevDriverSetup {
  /** What its parents are bound to, on that driver's bus; without it they belong to the class `parentClass`. */
  readonly parentDriver?: Driver;
  /** Takes everything away again, after the parents are gone. */
  undo(): void;
}

export interface MdevDriver {
  /** Module and driver name, `mtty`. */
  readonly name: string;
  /** Name below sys/bus/mdev/drivers where it is not that of the module. */
  readonly busName?: string;
  /** Called when the driver is loaded, before its parents are made: buses, root devices, the hardware that it needs. */
  setUp?(machine: Machine): MdevDriverSetup;
  /** Directory of parent `n` (from 0) below sys/devices, `virtual/mtty/mtty`. */
  parentPath(n: number): string;
  /** Class of the parent device (sys/class/<name>), if it has one. */
  readonly parentClass?: string;
  /** Extra groups of the parent device. */
  readonly parentGroups?: readonly AttributeGroup[];
  /** What a parent's uevents have besides what every device has; `name` is the parent's. */
  parentVariables?(name: string): readonly string[];
  createParent(n: number): MdevParentOps;
}
