/**
 * What devices do DMA through: a type1 container (container-type1.ts) or an IOAS of iommufd (container-iommufd.ts), both with the
 * whole RAM mapped at IOVA 0. Source: QEMU's hw/vfio/container-base.c, listener.c.
 */
import type { Ram } from '../vm/ram.js';
import { wordsOf } from '../vm/ram.js';

/** An open device, before anything was asked of it. */
export interface OpenedDevice {
  readonly fd: number;
  /** Whether the IOMMU behind it keeps a log of dirty pages (iommufd only: QEMU does not count type1's). */
  readonly iommuDirtyTracking: boolean;
  readonly container: Container;
  /** Closes the device, and the container with its last one. */
  close(): void;
}

export interface Container {
  /** The IOMMU's own log. Throws VfioError. */
  setDirtyTracking(on: boolean): void;
  /** Merges pages that devices wrote since the last time. Throws VfioError. */
  queryDirtyBitmap(ram: Ram): void;
  /** An ioctl of a type1 container, for what is only asked of one. Throws Errno. */
  ioctl?(command: number, argument: Uint8Array): void;
}

/** Opens devices; one per VM and backend. */
export interface Backend {
  /** Throws VfioError. */
  open(sysfsdev: string, name: string): OpenedDevice;
  /** The process ends: from now on devices are closed without undoing what closing takes along, as by exit(). */
  leave(): void;
}

/** A bitmap of dirty pages as the uAPI has it: 64-bit words, a bit per page. */
export function bitmapFor(ram: Ram): Uint8Array {
  return new Uint8Array(Math.ceil(ram.pages / 64) * 8);
}

/** Sets in `ram.dirty` what is set in `bitmap`. */
export function mergeBitmap(ram: Ram, bitmap: Uint8Array): void {
  const { dirtyWords } = ram;
  const words = wordsOf(bitmap);
  for (let n = 0; n < dirtyWords.length; n++) {
    const bits = words[n] ?? 0;
    if (bits !== 0) dirtyWords[n] = (dirtyWords[n] ?? 0) | bits;
  }
}

