/**
 * IOAS: one I/O address space. Source: drivers/iommu/iommufd/io_pagetable.c (struct io_pagetable).
 *
 * Nothing is pinned: a mapping only says which memory of which process stands behind the addresses.
 */
import { Errno } from '../abi/errno.js';
import type { CallerMemory } from '../kernfs/caller.js';
import type { DirtyLog } from './dirty-log.js';
import { IovaSpace } from './dma-space.js';
import { IOVA_MAX, IOVA_WRITE, lengthOf } from './iova-map.js';
import type { IovaMapping, IovaRange } from './iova-map.js';
import { IommufdObject } from './objects.js';

const PAGE_SIZE = 4096n;

/** A mapping of an IOAS. */
interface Area extends IovaMapping {
  /** The memory was given for writing once: a copy may ask for it (struct iopt_pages.writable). */
  readonly writable: boolean;
}

/** A piece of memory to map: what stands behind one area, or a part of one. */
export interface Pages {
  readonly memory: CallerMemory;
  readonly vaddr: bigint;
  readonly length: bigint;
  readonly writable: boolean;
}

export class Ioas extends IommufdObject {
  readonly space = new IovaSpace();
  /** Logs of the HWPTs made from it: what is unmapped is forgotten there, as the page table entries are gone. */
  readonly logs = new Set<DirtyLog>();
  /** Where addresses are chosen from; empty means anywhere. */
  allowed: readonly IovaRange[] = [];
  /** Devices and HWPTs that want whole pages. */
  #attached = 0;
  #hugePages = true;

  /** iova_alignment: bytes. 1 until a device or a HWPT is attached. */
  get alignment(): bigint {
    return this.#attached > 0 || !this.#hugePages ? PAGE_SIZE : 1n;
  }
  get hugePages(): boolean {
    return this.#hugePages;
  }

  /** Throws EADDRINUSE where existing mappings are not whole pages; then nothing has changed. */
  setHugePages(on: boolean): void {
    if (!on) this.#requirePages();
    this.#hugePages = on;
  }

  /** A device or HWPT comes: throws EADDRINUSE where existing mappings are not whole pages. */
  attach(): void {
    this.#requirePages();
    this.#attached++;
    this.users++;
  }

  detach(): void {
    this.#attached--;
    this.users--;
  }

  /**
   * iopt_map_pages(): maps the pieces one after the other at `iova`, or where there is room, and returns the address.
   * Throws EEXIST, EINVAL (alignment), EOVERFLOW, ENOSPC, EPERM (write to memory that was given for reading).
   */
  map(pages: readonly Pages[], prot: number, iova: bigint | undefined): bigint {
    const length = pages.reduce((sum, piece) => sum + piece.length, 0n);
    const start = iova === undefined ? this.#choose(length, pages[0]?.vaddr ?? 0n) : this.#check(iova, length);
    if ((prot & IOVA_WRITE) !== 0 && pages.some((piece) => !piece.writable)) throw new Errno('EPERM', 'pages are read-only');
    let next = start;
    for (const piece of pages) {
      const area: Area = { ...piece, iova: next, last: next + piece.length - 1n, prot };
      this.space.maps.insert(area);
      next += piece.length;
    }
    return start;
  }

  /** iopt_get_pages(): throws ENOENT unless all of the range is mapped. */
  pages(iova: bigint, length: bigint): Pages[] {
    if (length === 0n) throw new Errno('EINVAL');
    const last = iova + length - 1n;
    if (last > IOVA_MAX) throw new Errno('EOVERFLOW');
    const areas = this.space.maps.covering(iova, last);
    if (areas === undefined) throw new Errno('ENOENT', 'not all of it is mapped');
    return (areas as Area[]).map((area) => {
      const from = area.iova > iova ? area.iova : iova;
      const to = area.last < last ? area.last : last;
      return { memory: area.memory, vaddr: area.vaddr + (from - area.iova), length: to - from + 1n, writable: area.writable };
    });
  }

  /** iopt_unmap_iova(): whole areas only. Returns the bytes; throws ENOENT for a part of an area, or where nothing is. */
  unmap(iova: bigint, length: bigint): bigint {
    if (length === 0n) throw new Errno('EINVAL');
    const last = iova + length - 1n;
    if (last > IOVA_MAX) throw new Errno('EOVERFLOW');
    const areas = this.space.maps.overlapping(iova, last);
    if (areas.length === 0) throw new Errno('ENOENT', 'nothing is mapped there');
    let bytes = 0n;
    for (const area of areas) {
      // The areas before the one that sticks out are gone by then, in the kernel too.
      if (area.iova < iova || area.last > last) throw new Errno('ENOENT', 'a part of a mapping');
      bytes += this.#unmapArea(area);
    }
    return bytes;
  }

  /** iopt_unmap_all(): returns the bytes. */
  unmapAll(): bigint {
    return this.space.maps.overlapping(0n, IOVA_MAX).reduce((sum, area) => sum + this.#unmapArea(area), 0n);
  }

  /** iopt_cut_iova(): splits the areas at both ends of a range, as type1's version 1 allows to unmap parts. */
  cut(iova: bigint, last: bigint): void {
    if (iova > 0n) this.#splitBefore(iova);
    if (last < IOVA_MAX) this.#splitBefore(last + 1n);
  }

  override destroy(): void {
    this.space.maps.clear();
  }

  #unmapArea(area: IovaMapping): bigint {
    this.space.maps.delete(area);
    for (const log of this.logs) log.clear(area.iova, lengthOf(area));
    return lengthOf(area);
  }

  #splitBefore(iova: bigint): void {
    const area = this.space.maps.find(iova);
    if (area === undefined || area.iova === iova) return;
    this.space.maps.delete(area);
    this.space.maps.insert({ ...area, last: iova - 1n });
    this.space.maps.insert({ ...area, iova, vaddr: area.vaddr + (iova - area.iova) });
  }

  /** iopt_check_iova() */
  #check(iova: bigint, length: bigint): bigint {
    if (iova % this.alignment !== 0n || length % this.alignment !== 0n || length === 0n) throw new Errno('EINVAL', 'alignment');
    if (iova + length - 1n > IOVA_MAX) throw new Errno('EOVERFLOW');
    if (this.space.maps.first(iova, iova + length - 1n) !== undefined) throw new Errno('EEXIST');
    return iova;
  }

  /** iopt_alloc_iova(): first fit above page 0, at the memory's offset in its page. Throws ENOSPC. */
  #choose(length: bigint, vaddr: bigint): bigint {
    const offset = vaddr % PAGE_SIZE;
    if (length === 0n || length >= IOVA_MAX) throw new Errno('EOVERFLOW');
    if ((offset !== 0n || length % PAGE_SIZE !== 0n) && this.alignment > 1n) throw new Errno('EINVAL', 'alignment');
    const everywhere = [{ iova: PAGE_SIZE, last: IOVA_MAX - PAGE_SIZE }];
    for (const range of this.allowed.length > 0 ? this.allowed : everywhere) {
      const start = this.space.maps.firstGap(length + offset, PAGE_SIZE, range.iova, range.last);
      if (start !== undefined) return start + offset;
    }
    throw new Errno('ENOSPC', 'no room for the mapping');
  }

  #requirePages(): void {
    if (this.alignment === PAGE_SIZE) return;
    for (const area of this.space.maps.values()) {
      if (area.iova % PAGE_SIZE !== 0n || lengthOf(area) % PAGE_SIZE !== 0n) throw new Errno('EADDRINUSE', 'mappings of partial pages');
    }
  }
}
