/**
 * VFIO for the mdev core: registers emulated devices and answers the opens of their nodes. drivers/vfio/vfio_main.c:
 * vfio_register_emulated_iommu_dev(), vfio_unregister_group_dev().
 *
 * One per lab. It fits the mdev core's VfioRegistrar by shape; vfio knows nothing of mdev.
 */
import { Errno } from '../abi/errno.js';
import { DEFAULT_KERNEL, KERNEL_PROFILES } from '../abi/kernel-profile.js';
import type { KernelProfile, KernelVersion } from '../abi/kernel-profile.js';
import type { FileRequest, OpenFile } from '../kernfs/file.js';
import { VfioCdevFile } from './cdev.js';
import { VfioContainerFile } from './container.js';
import { VfioDevice } from './core.js';
import type { VfioDeviceOps } from './device.js';
import { VfioGroup } from './group.js';

export interface VfioOptions {
  /** Whose answers to give where versions differ. Default 6.12. */
  readonly kernel?: KernelVersion;
}

export class Vfio {
  readonly #profile: KernelProfile;

  constructor(options: VfioOptions = {}) {
    this.#profile = KERNEL_PROFILES[options.kernel ?? DEFAULT_KERNEL];
  }

  register(identity: { readonly name: string }, ops: VfioDeviceOps): VfioRegistration {
    return new VfioRegistration(new VfioDevice(identity.name, ops, this.#profile));
  }

  /** open(2) of /dev/vfio/vfio. */
  readonly openContainer = (_request: FileRequest): OpenFile => new VfioContainerFile(this.#profile);
}

/** One registered device with its group. */
export class VfioRegistration {
  readonly device: VfioDevice;
  #group: VfioGroup | undefined;

  constructor(device: VfioDevice) {
    this.device = device;
  }

  /** Made on first use. */
  get group(): VfioGroup {
    return (this.#group ??= new VfioGroup(this.device));
  }

  /** Whether a device fd is open, or a cdev fd, even an unbound one. */
  get inUse(): boolean {
    return this.device.inUse;
  }

  /** open(2) of /dev/vfio/N: throws EBUSY while it is open. */
  openGroup(_request: FileRequest): OpenFile {
    return this.group.open();
  }

  /** open(2) of /dev/vfio/devices/vfioN: throws ENODEV once the device is being removed. */
  openCdev(_request: FileRequest): OpenFile {
    return new VfioCdevFile(this.device, this.group);
  }

  /** From now on GET_DEVICE_FD is ENODEV. Undefined when nothing is open, else settles with the last device fd's close. */
  unregister(): Promise<void> | undefined {
    this.group.removeDevice();
    return this.device.unregister();
  }

  /** Group fds that are still open answer ENODEV. Throws EBUSY before unregister() has come to its end. */
  release(): void {
    if (this.device.inUse) throw new Errno('EBUSY');
    this.group.markGone();
  }
}
