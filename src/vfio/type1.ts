/**
 * The type1 IOMMU of a container, version 1 and 2. drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_ioctl() and below.
 *
 * All devices here are emulated, so nothing is ever pinned: a mapping only says which memory of the client stands at which IOVA,
 * and only a driver's own writes make a page dirty. Unlike 6.12 (and like 7.2) the last page of the address space is a page like
 * any other. Lifetime: from SET_IOMMU until the last group has left the container.
 */
import { Errno } from '../abi/errno.js';
import type { KernelProfile } from '../abi/kernel-profile.js';
import {
  VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_VADDR, VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, VFIO_DMA_UNMAP_FLAG_VADDR, VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA, VFIO_TYPE1_IOMMU, VFIO_TYPE1_NESTING_IOMMU, VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL, vfio_bitmap, vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap,
} from '../abi/vfio.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import { copyArgument, copyOut, copyStruct } from '../kernfs/uaccess.js';
import { DirtyLog } from '../iommufd/dirty-log.js';
import { IovaSpace } from '../iommufd/dma-space.js';
import { IOVA_MAX, IOVA_READ, IOVA_WRITE, lengthOf } from '../iommufd/iova-map.js';
import type { IovaMapping } from '../iommufd/iova-map.js';
import { ioctlTable } from './ioctl.js';
import type { IoctlTable } from './ioctl.js';
import { checkBitmap, DIRTY_BITMAP_PAGES_MAX, inTurns, PAGE_SHIFT, PAGE_SIZE, reportMapping } from './type1-dirty.js';
import type { UserBitmap } from './type1-dirty.js';
import { dirtyPages } from './type1-dirty-pages.js';
import { getInfo } from './type1-info.js';

/** Module parameter dma_entry_limit. */
const DMA_ENTRY_LIMIT = 0xffff;

/** VFIO_CHECK_EXTENSION of the type1 driver; `attached` once a container uses it. */
export function type1Extension(extension: bigint, profile: KernelProfile, attached: boolean): number {
  switch (Number(extension)) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
      return 1;
    case VFIO_TYPE1_NESTING_IOMMU:
      return profile.type1Nesting ? 1 : 0;
    case VFIO_DMA_CC_IOMMU:
      return attached ? 1 : 0;
    default:
      return 0;
  }
}

export interface IoctlOverride {
  /** OpenFile.ioctlKind */
  readonly kind: string;
  readonly ioctls: IoctlTable<Type1>;
}

export class Type1 {
  readonly space = new IovaSpace();
  readonly v2: boolean;
  readonly profile: KernelProfile;
  /** What devices that speak another version of the uAPI put in the place of ioctls; the last one counts. */
  readonly #overrides: IoctlOverride[] = [];
  #log: DirtyLog | undefined;
  /** Who needs the log. */
  readonly #logHolders = new Set<symbol>();

  /** Throws EINVAL for an extension that is no IOMMU type. */
  constructor(type: bigint, profile: KernelProfile) {
    const number = Number(type);
    if (number !== VFIO_TYPE1_IOMMU && number !== VFIO_TYPE1v2_IOMMU && number !== VFIO_TYPE1_NESTING_IOMMU) throw new Errno('EINVAL');
    this.v2 = number !== VFIO_TYPE1_IOMMU;
    this.profile = profile;
  }

  /** Mappings that can still be made. */
  get dmaAvailable(): number {
    return DMA_ENTRY_LIMIT - this.space.maps.size;
  }

  get ioctlKind(): string | undefined {
    return this.#overrides.at(-1)?.kind;
  }

  get log(): DirtyLog | undefined {
    return this.#log;
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    const row = this.#overrides.at(-1)?.ioctls.get(command) ?? TYPE1_IOCTLS.get(command);
    if (row === undefined) throw new Errno('ENOTTY');
    return row.run(this, request, argument);
  }

  /** Puts `override` in force until the function that it returns is called. */
  overrideIoctls(override: IoctlOverride): () => void {
    this.#overrides.push(override);
    return () => void this.#overrides.splice(this.#overrides.lastIndexOf(override), 1);
  }

  /** The log runs while anybody needs it. Throws EINVAL where a mapping is too large for a bitmap. */
  startLog(holder: symbol): void {
    if (this.#log === undefined) {
      for (const mapping of this.space.maps.values()) this.#checkLoggable(lengthOf(mapping));
      this.#log = new DirtyLog();
      this.space.logs.add(this.#log);
    }
    this.#logHolders.add(holder);
  }

  stopLog(holder: symbol): void {
    this.#logHolders.delete(holder);
    if (this.#logHolders.size === 0) this.#dropLog();
  }

  #dropLog(): void {
    if (this.#log === undefined) return;
    this.space.logs.delete(this.#log);
    this.#log = undefined;
  }

  map(mapping: IovaMapping): void {
    if (this.space.maps.first(mapping.iova, mapping.last) !== undefined) throw new Errno('EEXIST');
    if (this.dmaAvailable === 0) throw new Errno('ENOSPC');
    if (this.#log !== undefined) this.#checkLoggable(lengthOf(mapping));
    this.space.maps.insert(mapping);
  }

  /** The mapping goes, and what was dirty in it. */
  unmap(mapping: IovaMapping): void {
    if (!this.space.maps.delete(mapping)) return;
    this.#log?.clear(mapping.iova, lengthOf(mapping));
  }

  /**
   * Version 2: throws EINVAL where [iova, last] begins or ends inside a mapping.
   * vfio_dma_do_unmap(), vfio_iova_dirty_bitmap().
   */
  checkNotSplit(iova: bigint, last: bigint): void {
    const first = this.space.maps.find(iova);
    const final = this.space.maps.find(last);
    if ((first !== undefined && first.iova !== iova) || (final !== undefined && final.last !== last)) throw new Errno('EINVAL');
  }

  close(): void {
    this.#logHolders.clear();
    this.#dropLog();
    this.space.maps.clear();
  }

  #checkLoggable(length: bigint): void {
    if (length >> PAGE_SHIFT > DIRTY_BITMAP_PAGES_MAX) throw new Errno('EINVAL', 'mapping too large for a bitmap');
  }
}

/** vfio_dma_do_map() */
function mapDma(iommu: Type1, request: FileRequest, argument: bigint): number {
  const { flags, iova, vaddr, size } = copyArgument(request.caller, argument, vfio_iommu_type1_dma_map, 'size');
  if ((flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR)) !== 0) throw new Errno('EINVAL');
  const prot = ((flags & VFIO_DMA_MAP_FLAG_READ) !== 0 ? IOVA_READ : 0) | ((flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0 ? IOVA_WRITE : 0);
  const setVaddr = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
  if ((prot !== 0) === setVaddr) throw new Errno('EINVAL');
  if (size === 0n || ((size | iova | vaddr) & PAGE_SIZE - 1n) !== 0n) throw new Errno('EINVAL');
  const last = iova + size - 1n;
  if (last > IOVA_MAX || vaddr + size - 1n > IOVA_MAX) throw new Errno(iommu.profile.dmaWrap);
  // Addresses can be changed only after an UNMAP with FLAG_VADDR, which emulated devices don't allow.
  if (setVaddr) throw new Errno(iommu.space.maps.first(iova, last) === undefined ? 'ENOENT' : 'EINVAL');
  iommu.map({ iova, last, vaddr, prot, memory: request.caller.memory() });
  return 0;
}

const UNMAP_FLAGS = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;

/** vfio_iommu_type1_unmap_dma() */
function unmapDma(iommu: Type1, request: FileRequest, argument: bigint): Awaitable<number> {
  const { caller } = request;
  const unmap = copyArgument(caller, argument, vfio_iommu_type1_dma_unmap, 'size');
  const { argsz, flags, iova, size } = unmap;
  if ((flags & ~UNMAP_FLAGS) !== 0) throw new Errno('EINVAL');
  const all = (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  let bitmap: UserBitmap | undefined;
  if ((flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0) {
    if (all || (flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0) throw new Errno('EINVAL');
    if (argsz < vfio_iommu_type1_dma_unmap.size + vfio_bitmap.size) throw new Errno('EINVAL');
    bitmap = copyStruct(caller, argument + BigInt(vfio_iommu_type1_dma_unmap.size), vfio_bitmap);
    checkBitmap(bitmap, size);
  }
  if ((flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0) throw new Errno('EBUSY', 'emulated devices');
  const range = unmapRange(iommu, iova, size, all);
  if (bitmap !== undefined && (iommu.log === undefined || bitmap.pgsize !== PAGE_SIZE)) throw new Errno('EINVAL');
  if (iommu.v2 && !all) iommu.checkNotSplit(range.iova, range.last);
  const done = (unmapped: bigint): number => {
    copyOut(caller, argument, vfio_iommu_type1_dma_unmap, { ...unmap, size: unmapped });
    return 0;
  };
  const mappings = iommu.space.maps.overlapping(range.iova, range.last);
  if (bitmap !== undefined) return unmapWithBitmap(iommu, request, mappings, iova, bitmap).then(done);
  let unmapped = 0n;
  for (const mapping of mappings) {
    if (!iommu.v2 && mapping.iova < range.iova) break;
    iommu.unmap(mapping);
    unmapped += lengthOf(mapping);
  }
  return done(unmapped);
}

function unmapRange(iommu: Type1, iova: bigint, size: bigint, all: boolean): { iova: bigint; last: bigint } {
  if ((iova & PAGE_SIZE - 1n) !== 0n) throw new Errno('EINVAL');
  if (all) {
    if (iova !== 0n || size !== 0n) throw new Errno('EINVAL');
    return { iova: 0n, last: IOVA_MAX };
  }
  if (size === 0n || (size & PAGE_SIZE - 1n) !== 0n) throw new Errno('EINVAL');
  if (iova + size - 1n > IOVA_MAX) throw new Errno(iommu.profile.dmaWrap);
  return { iova, last: iova + size - 1n };
}

/** Each mapping's bits are told before it goes; one whose bits can't be written stays, and so do the ones after it. */
async function unmapWithBitmap(
  iommu: Type1, request: FileRequest, mappings: readonly IovaMapping[], base: bigint, bitmap: UserBitmap,
): Promise<bigint> {
  let unmapped = 0n;
  const memory = request.caller.memory();
  const gone = (mapping: IovaMapping): void => {
    iommu.unmap(mapping);
    unmapped += lengthOf(mapping);
  };
  await inTurns(mappings, (mapping) => {
    const told = iommu.log === undefined ? undefined : reportMapping(iommu.log, mapping, base, memory, bitmap.data);
    if (told !== undefined) return told.then(() => gone(mapping));
    gone(mapping);
    return undefined;
  });
  return unmapped;
}

export const TYPE1_IOCTLS = ioctlTable<Type1>([
  [VFIO_CHECK_EXTENSION, 'VFIO_CHECK_EXTENSION', (iommu, _request, argument) => type1Extension(argument, iommu.profile, true)],
  [VFIO_IOMMU_GET_INFO, 'VFIO_IOMMU_GET_INFO', getInfo],
  [VFIO_IOMMU_MAP_DMA, 'VFIO_IOMMU_MAP_DMA', mapDma],
  [VFIO_IOMMU_UNMAP_DMA, 'VFIO_IOMMU_UNMAP_DMA', unmapDma],
  [VFIO_IOMMU_DIRTY_PAGES, 'VFIO_IOMMU_DIRTY_PAGES', dirtyPages],
]);
