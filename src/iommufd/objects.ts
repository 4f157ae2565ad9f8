/**
 * Objects of one /dev/iommu and their ids. Source: drivers/iommu/iommufd/main.c.
 *
 * An id is the lowest free number from 1. `users` counts what holds the object besides its id: it can't be destroyed before
 * that is 0 (EBUSY).
 */
import { Errno } from '../abi/errno.js';

export abstract class IommufdObject {
  /** 0 while it has none. */
  id = 0;
  users = 0;
  /** Gives back what it holds. Called once, when its id is gone. */
  abstract destroy(): void;
}

export class ObjectTable {
  readonly #objects = new Map<number, IommufdObject>();
  /** No id below this one is free. */
  #lowest = 1;

  get empty(): boolean {
    return this.#objects.size === 0;
  }

  add<T extends IommufdObject>(object: T): T {
    while (this.#objects.has(this.#lowest)) this.#lowest++;
    object.id = this.#lowest;
    this.#objects.set(object.id, object);
    return object;
  }

  /** iommufd_get_object(): throws ENOENT for an unknown id and for one of another kind. */
  get<T extends IommufdObject>(id: number, kind: abstract new (...args: never[]) => T): T {
    const object = this.#objects.get(id);
    if (object instanceof kind) return object;
    throw new Errno('ENOENT', `no such object ${id}`);
  }

  /** iommufd_object_remove(): throws ENOENT, or EBUSY while it has users. */
  remove(id: number): IommufdObject {
    const object = this.get(id, IommufdObject);
    if (object.users > 0) throw new Errno('EBUSY', `object ${id} is in use`);
    this.#objects.delete(id);
    this.#lowest = Math.min(this.#lowest, id);
    object.destroy();
    return object;
  }

  /** The file and all devices are gone: whatever holds others goes first. */
  destroyAll(): void {
    while (this.#objects.size > 0) {
      const free = [...this.#objects.values()].filter((object) => object.users === 0);
      if (free.length === 0) throw new Error('iommufd objects hold each other');
      for (const object of free) this.remove(object.id);
    }
  }
}
