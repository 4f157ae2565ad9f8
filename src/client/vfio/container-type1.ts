/**
 * Group API: /dev/vfio/<group> in a container with a type1v2 IOMMU. Source: QEMU's hw/vfio/container.c: vfio_group_get(),
 * vfio_container_connect(), vfio_device_get(). Order of the ioctls as recorded.
 */
import { basename } from 'node:path';
import { readlinkSync } from 'node:fs';
import type { Errno } from '../../abi/errno.js';
import { isErrno } from '../../abi/errno.js';
import {
  VFIO_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_GET_API_VERSION,
  VFIO_GROUP_FLAGS_VIABLE, VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_GET_STATUS, VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA, VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU, vfio_group_status, vfio_iommu_type1_dirty_bitmap, vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap, vfio_iommu_type1_info,
} from '../../abi/vfio.js';
import { Fd } from '../../sys/fd.js';
import { ioctlFd, ioctlWord, openFd } from '../../sys/io.js';
import { addressOf } from '../../sys/libc.js';
import { strerror } from '../../sys/strerror.js';
import { VfioError } from '../vm/device.js';
import type { Ram } from '../vm/ram.js';
import { PAGE_SIZE } from '../vm/ram.js';
import type { Backend, Container, OpenedDevice } from './container.js';
import { bitmapFor, mergeBitmap } from './container.js';
import { callSized, vfioIoctl } from './ioctl.js';

const O_RDWR = 2;
const INT = 4;

class Type1Container implements Container {
  readonly fd: Fd;
  readonly #ram: Ram;

  constructor(ram: Ram) {
    this.#ram = ram;
    this.fd = new Fd(attempt('failed to open /dev/vfio/vfio', () => openFd('/dev/vfio/vfio', O_RDWR)));
    const version = ioctlWord(this.fd.fd, VFIO_GET_API_VERSION, 0);
    if (version !== VFIO_API_VERSION) {
      throw new VfioError(`supported vfio version: ${VFIO_API_VERSION}, reported version: ${version}`);
    }
    if (ioctlWord(this.fd.fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) === 0) throw new VfioError('No available IOMMU models');
  }

  /** The container's first group is in it now. */
  setup(): void {
    attempt('Failed to set iommu for container', () => ioctlWord(this.fd.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
    const { argsz } = vfioIoctl(this.fd.fd, VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info);
    const capabilities = new Uint8Array(argsz - vfio_iommu_type1_info.size);
    vfioIoctl(this.fd.fd, VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info, { argsz }, capabilities);
    attempt('vfio_container_dma_map failed', () => vfioIoctl(this.fd.fd, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, {
      flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, vaddr: this.#ram.address, iova: 0n, size: BigInt(this.#ram.size),
    }));
  }

  /** Takes the RAM out, unless the process ends. */
  close(leaving: boolean): void {
    if (!leaving) {
      try {
        vfioIoctl(this.fd.fd, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, { iova: 0n, size: BigInt(this.#ram.size) });
      } catch { /* The lab may be gone; closing takes the maps along. */ }
    }
    this.fd.close();
  }

  setDirtyTracking(on: boolean): void {
    const flags = on ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START : VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP;
    try {
      vfioIoctl(this.fd.fd, VFIO_IOMMU_DIRTY_PAGES, vfio_iommu_type1_dirty_bitmap, { flags });
    } catch (error) {
      throw failure(`Failed to set dirty tracking flag 0x${flags.toString(16)} errno: ${errnoOf(error).errno}`, error);
    }
  }

  queryDirtyBitmap(ram: Ram): void {
    const bitmap = bitmapFor(ram);
    const get = vfio_iommu_type1_dirty_bitmap_get.encode({
      iova: 0n, size: BigInt(ram.size),
      bitmap: { pgsize: BigInt(PAGE_SIZE), size: BigInt(bitmap.length), data: addressOf(bitmap) },
    });
    attempt('vfio_container_query_dirty_bitmap failed', () =>
      callSized(this.fd.fd, VFIO_IOMMU_DIRTY_PAGES, vfio_iommu_type1_dirty_bitmap, {
        argsz: vfio_iommu_type1_dirty_bitmap.size + get.length, flags: VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
      }, get));
    mergeBitmap(ram, bitmap);
  }

  ioctl(command: number, argument: Uint8Array): void {
    ioctlFd(this.fd.fd, command, argument);
  }
}

function errnoOf(error: unknown): Errno {
  if (isErrno(error)) return error;
  throw error;
}

export function failure(what: string, error: unknown): VfioError {
  const { errno } = errnoOf(error);
  return new VfioError(`${what}: ${strerror(errno)}`, errno);
}

/** Throws VfioError `what: strerror`. */
export function attempt<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw failure(what, error);
  }
}

/** Puts every group into one container, which lives as long as its groups. */
export class GroupBackend implements Backend {
  readonly #ram: Ram;
  #container: Type1Container | undefined;
  #leaving = false;
  readonly #groups = new Map<string, { readonly fd: Fd; users: number }>();

  constructor(ram: Ram) {
    this.#ram = ram;
  }

  leave(): void {
    this.#leaving = true;
  }

  open(sysfsdev: string, name: string): OpenedDevice {
    let number: string;
    try {
      number = basename(readlinkSync(`${sysfsdev}/iommu_group`));
    } catch {
      throw new VfioError('no iommu_group found: No such file or directory');
    }
    const group = this.#group(number);
    group.users++;
    try {
      const path = new TextEncoder().encode(`${name}\0`);
      const fd = new Fd(this.#deviceFd(group.fd.fd, path, number));
      return {
        fd: fd.fd, iommuDirtyTracking: false, container: this.#container as Type1Container,
        close: () => {
          if (fd.closed) return;
          fd.close();
          this.#put(number);
        },
      };
    } catch (error) {
      this.#put(number);
      throw error;
    }
  }

  #deviceFd(group: number, path: Uint8Array, number: string): number {
    try {
      return ioctlFd(group, VFIO_GROUP_GET_DEVICE_FD, path);
    } catch (error) {
      const hint = isErrno(error, 'EMFILE') ? ' (no descriptor slots left: see "mdevsim run" and --slots)' : '';
      throw new VfioError(`${failure(`error getting device from group ${number}`, error).message}${hint}`, errnoOf(error).errno);
    }
  }

  #group(number: string): { readonly fd: Fd; users: number } {
    const known = this.#groups.get(number);
    if (known !== undefined) return known;
    const path = `/dev/vfio/${number}`;
    const fd = new Fd(attempt(`failed to open ${path}`, () => openFd(path, O_RDWR)));
    try {
      const { flags } = vfioIoctl(fd.fd, VFIO_GROUP_GET_STATUS, vfio_group_status);
      if ((flags & VFIO_GROUP_FLAGS_VIABLE) === 0) throw new VfioError(`group ${number} is not viable`);
      this.#connect(fd.fd, number);
    } catch (error) {
      fd.close();
      throw error;
    }
    const group = { fd, users: 0 };
    this.#groups.set(number, group);
    return group;
  }

  #connect(group: number, number: string): void {
    const fresh = this.#container === undefined;
    const container = (this.#container ??= new Type1Container(this.#ram));
    try {
      const argument = new Uint8Array(INT);
      new DataView(argument.buffer).setInt32(0, container.fd.fd, true);
      attempt(`failed to set container for group ${number}`, () => ioctlFd(group, VFIO_GROUP_SET_CONTAINER, argument));
      if (fresh) container.setup();
    } catch (error) {
      if (fresh) {
        container.fd.close();
        this.#container = undefined;
      }
      throw error;
    }
  }

  #unset(group: number): void {
    if (this.#leaving) return;
    try {
      ioctlWord(group, VFIO_GROUP_UNSET_CONTAINER, 0);
    } catch { /* Closing the group does it too. */ }
  }

  #put(number: string): void {
    const group = this.#groups.get(number);
    if (group === undefined || --group.users > 0) return;
    this.#groups.delete(number);
    if (this.#groups.size === 0) {
      this.#container?.close(this.#leaving);
      this.#container = undefined;
    } else {
      this.#unset(group.fd.fd);
    }
    group.fd.close();
  }
}
