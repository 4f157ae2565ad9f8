/**
 * What a group's devices reach memory through: a container, or an iommufd that stands in for one. drivers/vfio/group.c:
 * vfio_group_ioctl_set_container(), drivers/vfio/iommufd.c: vfio_iommufd_compat_attach_ioas().
 */
import { Errno } from '../abi/errno.js';
import type { OpenFile } from '../kernfs/file.js';
import type { IommufdContext } from '../iommufd/context.js';
import { Ioas } from '../iommufd/ioas.js';
import { IommufdFile } from '../iommufd/main.js';
import { VfioContainerFile } from './container.js';
import type { VfioContainer } from './container.js';
import type { VfioDevice } from './core.js';

export interface GroupBacking {
  /** True: UNSET_CONTAINER is EBUSY while a device is open. An iommufd lets the group go at any time. */
  readonly heldByDevices: boolean;
  /** Connects a device at its first open and returns what undoes it. Throws EINVAL where there is no IOMMU yet. */
  attach(device: VfioDevice): () => void;
  /** The group leaves. */
  release(): void;
}

/** Throws EBADFD for any other kind of file. `group` is the identity under which it joins. */
export function backingOf(file: OpenFile | undefined, group: object): GroupBacking {
  if (file instanceof VfioContainerFile) return new ContainerBacking(file.container, group);
  if (file instanceof IommufdFile) return new IommufdBacking(file.context);
  throw new Errno('EBADFD', 'neither a container nor an iommufd');
}

class ContainerBacking implements GroupBacking {
  readonly heldByDevices = true;
  readonly #container: VfioContainer;
  readonly #group: object;

  constructor(container: VfioContainer, group: object) {
    this.#container = container;
    this.#group = group;
    container.attachGroup(group);
  }

  /** vfio_device_container_register(), vfio_group_use_container() */
  attach(device: VfioDevice): () => void {
    const { iommu } = this.#container;
    if (iommu === undefined) throw new Errno('EINVAL', 'no IOMMU');
    const detach = device.ops.attachContainer?.(iommu);
    device.dma.space = iommu.space;
    return () => {
      detach?.();
      device.dma.space = undefined;
    };
  }

  release(): void {
    this.#container.detachGroup(this.#group);
  }
}

class IommufdBacking implements GroupBacking {
  readonly heldByDevices = false;
  readonly #context: IommufdContext;

  /** iommufd_vfio_compat_ioas_create(): the IOAS is made with the first group. */
  constructor(context: IommufdContext) {
    context.vfioIoas ??= context.objects.add(new Ioas());
    context.hold();
    this.#context = context;
  }

  attach(device: VfioDevice): () => void {
    const context = this.#context;
    const ioas = context.vfioIoas;
    if (ioas === undefined) throw new Errno('ENODEV');
    const bound = context.bind(device.dma);
    try {
      bound.attach(context.objects, ioas.id);
    } catch (error) {
      context.unbind(bound);
      throw error;
    }
    return () => {
      context.unbind(bound);
    };
  }

  release(): void {
    this.#context.drop();
  }
}
