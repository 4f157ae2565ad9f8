/**
 * IommufdContext: what one open of /dev/iommu stands for (struct iommufd_ctx). Lifetime: until the file is closed and the
 * last device that was bound to it is unbound; mappings made before work until then.
 */
import { DEFAULT_PROFILE } from '../abi/kernel-profile.js';
import type { KernelProfile } from '../abi/kernel-profile.js';
import type { DmaPort } from './dma-space.js';
import { IommufdDevice } from './hwpt.js';
import type { Ioas } from './ioas.js';
import { ObjectTable } from './objects.js';

export interface IommufdOptions {
  /**
   * Whether bound mdevs have an IOMMU that tracks dirty pages (GET_HW_INFO, HWPT_ALLOC). Off, they answer as the
   * kernel's emulated devices do: ENOENT. Default: on.
   */
  readonly dirtyTracking?: boolean;
  /** Default: 6.12. */
  readonly profile?: KernelProfile;
}

export class IommufdContext {
  readonly objects = new ObjectTable();
  readonly dirtyTracking: boolean;
  readonly profile: KernelProfile;
  /** The IOAS behind VFIO's own ioctls on this file (drivers/iommu/iommufd/vfio_compat.c). */
  vfioIoas: Ioas | undefined;
  /** IOMMU_OPTION_RLIMIT_MODE: 0 counts per user, 1 per process. */
  rlimitMode = 0n;
  #holders = 1;

  constructor(options: IommufdOptions = {}) {
    this.dirtyTracking = options.dirtyTracking ?? true;
    this.profile = options.profile ?? DEFAULT_PROFILE;
  }

  /** iommufd_device_bind(): the device holds the context until unbind(). */
  bind(port: DmaPort): IommufdDevice {
    this.hold();
    return this.objects.add(new IommufdDevice(port));
  }

  unbind(device: IommufdDevice): void {
    device.detach();
    device.users = 0;
    this.objects.remove(device.id);
    this.drop();
  }

  /** A group that uses the file as its container holds it. */
  hold(): void {
    this.#holders++;
  }

  drop(): void {
    if (--this.#holders === 0) this.objects.destroyAll();
  }
}
