/**
 * Cdev API: /dev/vfio/devices/vfioN bound to an iommufd. Source: QEMU's hw/vfio/iommufd.c: iommufd_cdev_attach(),
 * iommufd_cdev_autodomains_get(). Order of the ioctls as recorded.
 */
import { readdirSync } from 'node:fs';
import { isErrno } from '../../abi/errno.js';
import {
  IOMMU_DESTROY, IOMMU_GET_HW_INFO, IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP, IOMMU_HWPT_SET_DIRTY_TRACKING, IOMMU_HW_CAP_DIRTY_TRACKING, IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_IOVA_RANGES, IOMMU_IOAS_MAP, IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE,
  iommu_destroy, iommu_hw_info, iommu_hwpt_alloc, iommu_hwpt_get_dirty_bitmap, iommu_hwpt_set_dirty_tracking, iommu_ioas_alloc,
  iommu_ioas_iova_ranges, iommu_ioas_map, iommu_iova_range,
} from '../../abi/iommufd.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd, vfio_device_detach_iommufd_pt,
} from '../../abi/vfio.js';
import { Fd } from '../../sys/fd.js';
import { ioctlFd, openFd } from '../../sys/io.js';
import { addressOf } from '../../sys/libc.js';
import { VfioError } from '../vm/device.js';
import type { Ram } from '../vm/ram.js';
import { PAGE_SIZE } from '../vm/ram.js';
import { attempt } from './container-type1.js';
import type { Backend, Container, OpenedDevice } from './container.js';
import { bitmapFor, mergeBitmap } from './container.js';
import { iommuIoctl, vfioIoctl } from './ioctl.js';

const O_RDWR = 2;

/** One IOAS, and one page table over it that every device is attached to. */
class IommufdContainer implements Container {
  readonly hwpt: number;
  readonly dirtyTracking: boolean;
  readonly #iommu: number;
  readonly #ioas: number;
  /** struct iommu_iova_range[], what can be mapped. */
  readonly ranges: Uint8Array;
  users = 0;

  constructor(iommu: number, device: number, devid: number, ram: Ram) {
    this.#iommu = iommu;
    const { out_capabilities } = attempt('Failed to get hardware info', () =>
      iommuIoctl(iommu, IOMMU_GET_HW_INFO, iommu_hw_info, { dev_id: devid }));
    this.dirtyTracking = (out_capabilities & BigInt(IOMMU_HW_CAP_DIRTY_TRACKING)) !== 0n;
    this.#ioas = attempt('Failed to allocate ioas', () => iommuIoctl(iommu, IOMMU_IOAS_ALLOC, iommu_ioas_alloc).out_ioas_id);
    this.hwpt = attempt('error allocating a page table', () => iommuIoctl(iommu, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, {
      flags: this.dirtyTracking ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0, dev_id: devid, pt_id: this.#ioas,
    }).out_hwpt_id);
    this.attach(device);
    this.ranges = this.#queryRanges();
    attempt('IOMMU_IOAS_MAP failed', () => iommuIoctl(iommu, IOMMU_IOAS_MAP, iommu_ioas_map, {
      flags: IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE, ioas_id: this.#ioas,
      user_va: ram.address, length: BigInt(ram.size), iova: 0n,
    }));
  }

  attach(device: number): void {
    attempt('error attaching to the page table', () =>
      vfioIoctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio_device_attach_iommufd_pt, { pt_id: this.hwpt }));
  }

  destroy(): void {
    for (const id of [this.hwpt, this.#ioas]) {
      try { iommuIoctl(this.#iommu, IOMMU_DESTROY, iommu_destroy, { id }); } catch { /* Closing the iommufd takes it along. */ }
    }
  }

  setDirtyTracking(on: boolean): void {
    const flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0;
    attempt('IOMMU_HWPT_SET_DIRTY_TRACKING failed', () =>
      iommuIoctl(this.#iommu, IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, { hwpt_id: this.hwpt, flags }));
  }

  queryDirtyBitmap(ram: Ram): void {
    const bitmap = bitmapFor(ram);
    attempt('IOMMU_HWPT_GET_DIRTY_BITMAP failed', () =>
      iommuIoctl(this.#iommu, IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, {
        hwpt_id: this.hwpt, iova: 0n, length: BigInt(ram.size), page_size: BigInt(PAGE_SIZE), data: addressOf(bitmap),
      }));
    mergeBitmap(ram, bitmap);
  }

  /** Asked for without room first, which tells how many there are. */
  #queryRanges(): Uint8Array {
    const argument = iommu_ioas_iova_ranges.encode({ size: iommu_ioas_iova_ranges.size, ioas_id: this.#ioas });
    try {
      ioctlFd(this.#iommu, IOMMU_IOAS_IOVA_RANGES, argument);
    } catch (error) {
      if (!isErrno(error, 'EMSGSIZE')) throw error;
    }
    const { num_iovas } = iommu_ioas_iova_ranges.decode(argument);
    const ranges = new Uint8Array(Math.max(1, num_iovas) * iommu_iova_range.size);
    iommuIoctl(this.#iommu, IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, {
      ioas_id: this.#ioas, num_iovas, allowed_iovas: addressOf(ranges),
    });
    return ranges;
  }
}

export class IommufdBackend implements Backend {
  readonly #ram: Ram;
  #iommu: Fd | undefined;
  #container: IommufdContainer | undefined;
  #leaving = false;

  constructor(ram: Ram) {
    this.#ram = ram;
  }

  leave(): void {
    this.#leaving = true;
  }

  open(sysfsdev: string): OpenedDevice {
    const cdev = this.#cdev(sysfsdev);
    const iommu = (this.#iommu ??= new Fd(attempt('failed to open /dev/iommu', () => openFd('/dev/iommu', O_RDWR)))).fd;
    const fd = new Fd(attempt(`Could not open '${cdev}'`, () => openFd(cdev, O_RDWR)));
    try {
      const devid = attempt('error bind device fd to iommufd', () =>
        vfioIoctl(fd.fd, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd, { iommufd: iommu }).out_devid);
      const known = this.#container;
      const container = (this.#container ??= new IommufdContainer(iommu, fd.fd, devid, this.#ram));
      if (known !== undefined) known.attach(fd.fd);
      container.users++;
      return { fd: fd.fd, iommuDirtyTracking: container.dirtyTracking, container, close: () => this.#close(fd, container) };
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  #close(fd: Fd, container: IommufdContainer): void {
    if (fd.closed) return;
    if (!this.#leaving) {
      try {
        vfioIoctl(fd.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio_device_detach_iommufd_pt);
      } catch { /* Closing detaches too. */ }
    }
    fd.close();
    if (--container.users > 0) return;
    if (!this.#leaving) container.destroy();
    this.#container = undefined;
    this.#iommu?.close();
    this.#iommu = undefined;
  }

  #cdev(sysfsdev: string): string {
    try {
      const name = readdirSync(`${sysfsdev}/vfio-dev`).find((one) => one.startsWith('vfio'));
      if (name !== undefined) return `/dev/vfio/devices/${name}`;
    } catch { /* No such directory is as good as an empty one. */ }
    throw new VfioError(`couldn't open directory ${sysfsdev}/vfio-dev: No such file or directory`);
  }
}
