/**
 * HWPT: a hardware page table over an IOAS, with dirty tracking where it was made for it; and the bound device.
 * Source: drivers/iommu/iommufd/{hw_pagetable,device}.c.
 *
 * In the kernel an mdev has no IOMMU, so nothing tracks what it dirties. The lab's does (see docs/differences.md):
 * without it QEMU takes the device as unmigratable.
 */
import { Errno } from '../abi/errno.js';
import { DirtyLog } from './dirty-log.js';
import type { DmaPort } from './dma-space.js';
import { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';
import type { ObjectTable } from './objects.js';

export class Hwpt extends IommufdObject {
  readonly ioas: Ioas;
  /** Undefined when it was made without IOMMU_HWPT_ALLOC_DIRTY_TRACKING. */
  readonly log: DirtyLog | undefined;
  #tracking = false;
  readonly #ports = new Set<DmaPort>();

  /** Throws EADDRINUSE where the IOAS has mappings that are not whole pages. */
  constructor(ioas: Ioas, dirtyTracking: boolean) {
    super();
    ioas.attach();
    this.ioas = ioas;
    this.log = dirtyTracking ? new DirtyLog() : undefined;
    if (this.log !== undefined) ioas.logs.add(this.log);
  }

  get tracking(): boolean {
    return this.#tracking;
  }

  /** Enabling starts from a clean log, also when it is enabled already. Throws EOPNOTSUPP without dirty tracking. */
  setTracking(on: boolean): void {
    const { log } = this;
    if (log === undefined) throw new Errno('EOPNOTSUPP', 'made without dirty tracking');
    if (on) log.clearAll();
    this.#tracking = on;
    for (const port of this.#ports) {
      if (on) port.logs.add(log);
      else port.logs.delete(log);
    }
  }

  attach(port: DmaPort): void {
    this.users++;
    this.#ports.add(port);
    if (this.#tracking && this.log !== undefined) port.logs.add(this.log);
  }

  detach(port: DmaPort): void {
    this.users--;
    this.#ports.delete(port);
    if (this.log !== undefined) port.logs.delete(this.log);
  }

  override destroy(): void {
    if (this.log !== undefined) this.ioas.logs.delete(this.log);
    this.ioas.detach();
  }
}

/** A device bound by VFIO. Attached to an IOAS, to a HWPT, or to nothing. */
export class IommufdDevice extends IommufdObject {
  readonly port: DmaPort;
  #attachment: Ioas | Hwpt | undefined;

  constructor(port: DmaPort) {
    super();
    this.port = port;
    // VFIO holds it for as long as it is bound.
    this.users = 1;
  }

  get attached(): boolean {
    return this.#attachment !== undefined;
  }

  /** Attaches, or moves over. Throws ENOENT when `id` is neither an IOAS nor a HWPT; then nothing has changed. */
  attach(objects: ObjectTable, id: number): void {
    const target = objects.get(id, IommufdObject);
    if (target === this.#attachment) return;
    if (target instanceof Ioas) {
      target.attach();
      this.detach();
      this.port.space = target.space;
    } else if (target instanceof Hwpt) {
      target.attach(this.port);
      this.detach();
      this.port.space = target.ioas.space;
    } else {
      throw new Errno('ENOENT', `object ${id} is nothing to attach to`);
    }
    this.#attachment = target;
  }

  detach(): void {
    if (this.#attachment instanceof Hwpt) this.#attachment.detach(this.port);
    else this.#attachment?.detach();
    this.#attachment = undefined;
    this.port.space = undefined;
  }

  override destroy(): void {
    this.detach();
  }
}
