/** Regions of a device: config space and BARs, by pread and pwrite. Source: QEMU's hw/vfio/region.c. */
import { Errno } from '../../abi/errno.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../abi/vfio.js';
import { preadFd, pwriteFd } from '../../sys/io.js';
import { vfioIoctl } from './ioctl.js';

export class Region {
  readonly #fd: number;
  /** Bytes; 0 for a region that the device has not got. */
  readonly size: number;
  /** In the device file. */
  readonly #offset: number;

  /** Throws Errno. */
  constructor(fd: number, index: number) {
    const { size, offset } = vfioIoctl(fd, VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, { index });
    this.#fd = fd;
    this.size = Number(size);
    this.#offset = Number(offset);
  }

  /** Throws Errno; EIO where fewer bytes come. */
  read(offset: number, length: number): Uint8Array {
    const data = new Uint8Array(length);
    this.readInto(offset, data);
    return data;
  }

  /** Fills `data`. Throws as read(). */
  readInto(offset: number, data: Uint8Array): void {
    this.#check(preadFd(this.#fd, data, this.#offset + offset), data.length);
  }

  /** Throws Errno; EIO where fewer bytes are taken. */
  write(offset: number, data: Uint8Array): void {
    this.#check(pwriteFd(this.#fd, data, this.#offset + offset), data.length);
  }

  #check(result: number, wanted: number): void {
    if (result < 0) throw Errno.fromNumber(-result);
    if (result !== wanted) throw new Errno('EIO', `${result} of ${wanted} bytes`);
  }
}
