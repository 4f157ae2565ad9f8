/**
 * What the mdev core asks of VFIO. src/vfio implements it; the lab passes the implementation to MdevCore, so that mdev
 * knows VFIO only by types.
 *
 * The core makes everything that can be seen of a device in sysfs and /dev (iommu group, class/vfio/N, vfio-dev/vfioN, the
 * nodes) and calls the binding for what happens when those nodes are opened. Order over a device's life:
 * register() -> openGroup()/openCdev() ... -> unregister() [-> its promise resolves] -> release().
 */
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import type { VfioDeviceOps } from '../vfio/device.js';

export interface VfioIdentity {
  /** dev_name(): the name that VFIO_GROUP_GET_DEVICE_FD takes. For an mdev its UUID in lower case. */
  readonly name: string;
  /** Number of the IOMMU group: /dev/vfio/<group>. Numbers are used again after the device is gone. */
  readonly group: number;
  /** N of vfio-dev/vfioN and /dev/vfio/devices/vfioN. */
  readonly index: number;
  /** A line of the kernel log about this device. */
  log(message: string): void;
}

/** One registered device, as VFIO keeps it. */
export interface VfioBinding {
  /** Whether a device fd is open (group API), or a cdev fd, even an unbound one. A group fd alone does not count. */
  readonly inUse: boolean;
  /** open(2) of /dev/vfio/<group>: a VfioGroupFile. Throws EBUSY while the group is open. */
  openGroup(request: FileRequest): Awaitable<OpenFile>;
  /** open(2) of /dev/vfio/devices/vfioN. */
  openCdev(request: FileRequest): Awaitable<OpenFile>;
  /**
   * First half of drivers/vfio/vfio_main.c: vfio_unregister_group_dev(). At once no new device fd can be had
   * (GET_DEVICE_FD: ENODEV); open ones go on working. Undefined when none is open, otherwise a promise that resolves when
   * the last one is closed; ops.request() is called meanwhile. Never rejects. Called once.
   */
  unregister(): Promise<void> | undefined;
  /** Second half: the group is gone, group fds that are still open answer ENODEV. Called once, after unregister(). */
  release(): void;
}

export interface VfioRegistrar {
  /** vfio_register_emulated_iommu_dev(): `ops` becomes a device that clients can open. Nothing is visible before it returns. */
  register(identity: VfioIdentity, ops: VfioDeviceOps): VfioBinding;
}
