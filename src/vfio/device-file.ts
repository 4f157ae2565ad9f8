/**
 * VfioDeviceFile: one open file of a device (struct vfio_device_file). drivers/vfio/vfio_main.c: vfio_device_fops.
 *
 * Several files share one device: registers, IRQs, migration state belong to the device. Until access was granted (at once by a
 * group's GET_DEVICE_FD, by BIND_IOMMUFD for a cdev) everything but BIND_IOMMUFD is EINVAL. What VFIO does not answer itself
 * goes to the driver.
 */
import { Errno } from '../abi/errno.js';
import { VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_FEATURE, vfio_device_bind_iommufd } from '../abi/vfio.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { copyArgument } from '../kernfs/uaccess.js';
import type { VfioDevice } from './core.js';
import { deviceFeature } from './feature.js';

export class VfioDeviceFile implements OpenFile {
  readonly kind = 'vfio-device';
  readonly device: VfioDevice;
  /** Takes back what granted the access; undefined without access. */
  #revoke: (() => void) | undefined;

  /** Holds a registration until release(). Throws ENODEV when the device is being removed. */
  constructor(device: VfioDevice) {
    device.getRegistration();
    this.device = device;
  }

  get label(): string {
    return `${this.kind} ${this.device.name}`;
  }
  get ioctlKind(): string | undefined {
    return this.device.ops.ioctlKind;
  }
  get accessGranted(): boolean {
    return this.#revoke !== undefined;
  }

  /** Opens the device for this file; see VfioDevice.open(). */
  grantAccess(exclusive: boolean, attach: () => void, detach: () => void): void {
    this.device.open(exclusive, attach, detach);
    this.#revoke = () => {
      this.device.close(detach);
    };
  }

  read(request: FileRequest, offset: number, size: number): Awaitable<Uint8Array> {
    const { ops } = this.#accessible();
    if (ops.read === undefined) throw new Errno('EINVAL');
    return ops.read(request, offset, size);
  }

  write(request: FileRequest, offset: number, data: Uint8Array): Awaitable<number> {
    const { ops } = this.#accessible();
    if (ops.write === undefined) throw new Errno('EINVAL');
    return ops.write(request, offset, data);
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    if (command === VFIO_DEVICE_BIND_IOMMUFD) return this.bindIommufd(request, argument);
    const device = this.#accessible();
    const own = this.attachIoctl(request, command, argument);
    if (own !== undefined) return own;
    if (command === VFIO_DEVICE_FEATURE) return deviceFeature(device, request, argument);
    return device.ops.ioctl(request, command, argument);
  }

  release(): void {
    const revoke = this.#revoke;
    this.#revoke = undefined;
    try {
      revoke?.();
    } finally {
      this.device.putRegistration();
    }
  }

  /** VFIO_DEVICE_BIND_IOMMUFD: only a cdev can be bound. */
  protected bindIommufd(request: FileRequest, argument: bigint): Awaitable<number> {
    copyArgument(request.caller, argument, vfio_device_bind_iommufd, 'out_devid');
    throw new Errno('EINVAL', 'a device of the group API');
  }

  /** ATTACH_IOMMUFD_PT and DETACH_IOMMUFD_PT, which only a cdev has; undefined for any other command. */
  protected attachIoctl(_request: FileRequest, _command: number, _argument: bigint): Awaitable<number> | undefined {
    return undefined;
  }

  #accessible(): VfioDevice {
    if (!this.accessGranted) throw new Errno('EINVAL', 'not bound');
    return this.device;
  }
}
