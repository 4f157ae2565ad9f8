/**
 * A VFIO container: /dev/vfio/vfio. drivers/vfio/container.c.
 *
 * A container outlives its file for as long as a group is attached to it, and has an IOMMU only while one is. Before it has one,
 * every ioctl but GET_API_VERSION and CHECK_EXTENSION is EINVAL; from then on other ioctls are the IOMMU's.
 */
import { Errno } from '../abi/errno.js';
import type { KernelProfile } from '../abi/kernel-profile.js';
import { VFIO_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_GET_API_VERSION, VFIO_SET_IOMMU } from '../abi/vfio.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { ioctlTable } from './ioctl.js';
import { Type1, type1Extension } from './type1.js';

export class VfioContainer {
  readonly profile: KernelProfile;
  /** Attached groups, whatever they are to their owner. */
  readonly #groups = new Set<object>();
  #iommu: Type1 | undefined;

  constructor(profile: KernelProfile) {
    this.profile = profile;
  }

  get iommu(): Type1 | undefined {
    return this.#iommu;
  }

  attachGroup(group: object): void {
    this.#groups.add(group);
  }

  /** vfio_group_detach_container(): the last group takes the IOMMU and its mappings along. */
  detachGroup(group: object): void {
    this.#groups.delete(group);
    if (this.#groups.size > 0) return;
    this.#iommu?.close();
    this.#iommu = undefined;
  }

  checkExtension(extension: bigint): number {
    return type1Extension(extension, this.profile, this.#iommu !== undefined);
  }

  /** vfio_ioctl_set_iommu(): throws EINVAL without a group or with an IOMMU, ENODEV where no IOMMU driver knows the type. */
  setIommu(type: bigint): void {
    if (this.#groups.size === 0 || this.#iommu !== undefined) throw new Errno('EINVAL');
    if (type1Extension(type, this.profile, false) <= 0) throw new Errno('ENODEV');
    this.#iommu = new Type1(type, this.profile);
  }
}

export const CONTAINER_IOCTLS = ioctlTable<VfioContainer>([
  [VFIO_GET_API_VERSION, 'VFIO_GET_API_VERSION', () => VFIO_API_VERSION],
  [VFIO_CHECK_EXTENSION, 'VFIO_CHECK_EXTENSION', (container, _request, argument) => container.checkExtension(argument)],
  [VFIO_SET_IOMMU, 'VFIO_SET_IOMMU', (container, _request, argument) => {
    container.setIommu(argument);
    return 0;
  }],
]);

/** An open /dev/vfio/vfio. */
export class VfioContainerFile implements OpenFile {
  readonly kind = 'vfio-container';
  readonly container: VfioContainer;

  constructor(profile: KernelProfile) {
    this.container = new VfioContainer(profile);
  }

  get ioctlKind(): string | undefined {
    return this.container.iommu?.ioctlKind;
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    const row = CONTAINER_IOCTLS.get(command);
    if (row !== undefined) return row.run(this.container, request, argument);
    const { iommu } = this.container;
    if (iommu === undefined) throw new Errno('EINVAL', 'no IOMMU');
    return iommu.ioctl(request, command, argument);
  }

  release(): void {
    // The container goes with its last group; without a group nothing refers to it any more.
  }
}
