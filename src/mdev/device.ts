/**
 * MdevDevice: struct mdev_device with its VFIO side. States: bound (after create) -> unbound (driver unbound, or removal) ->
 * gone. Mirrors drivers/vfio/mdev/mdev_core.c and the order of drivers/base/dd.c and drivers/vfio/vfio_main.c.
 *
 * Only MdevCore makes, unbinds and removes devices.
 */
import { Errno } from '../abi/errno.js';
import type { IommuGroup } from '../device/iommu-group.js';
import { Device } from '../device/device.js';
import type { ChildSource, LazyDir } from '../device/lazy-dir.js';
import { GroupSource, groupSpan, Layout, LayoutSource, link, attribute, sourced } from '../device/layout.js';
import { relativePath } from '../device/path.js';
import type { Bus } from '../device/bus.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { wo } from '../sysfs/attribute.js';
import type { AttributeGroup } from '../sysfs/group.js';
import type { MdevIdentity, MdevInstance } from './driver.js';
import { removeStore } from './sysfs.js';
import type { MdevType } from './type.js';
import type { VfioBinding, VfioIdentity } from './vfio-hooks.js';
import type { VfioCdevDevice, VfioGroupDevice } from './vfio-sysfs.js';
import { cdevSource } from './vfio-sysfs.js';

const NO_GROUPS: readonly AttributeGroup[] = [];

export class MdevDevice extends Device implements MdevIdentity, VfioIdentity {
  readonly name: string;
  readonly type: MdevType;
  readonly born = Date.now();
  /** What the driver's probe() gave; undefined when unbound. */
  instance: MdevInstance | undefined = undefined;
  binding: VfioBinding | undefined = undefined;
  iommuGroup: IommuGroup | undefined = undefined;
  vfioGroup: VfioGroupDevice | undefined = undefined;
  vfioCdev: VfioCdevDevice | undefined = undefined;
  /** Number of the IOMMU group; meaningful while `iommuGroup` is there. */
  group = 0;
  /** N of vfioN; meaningful while `binding` is there. */
  index = 0;
  /** The driver's links, its groups and (once removal has begun) everything of the device itself are shown by these. */
  bound = false;
  /** The running unbind; resolves when the driver has let go. */
  unbinding: Promise<void> | undefined = undefined;
  /** The running removal of a device in use; resolves when it is gone. */
  removal: Promise<void> | undefined = undefined;
  /** First of the numbers of groups and debugfs directories, taken when the driver has told its groups. */
  #groupIno = 0;

  constructor(uuid: string, type: MdevType) {
    super(type.parent.machine, MDEV.span);
    this.name = uuid;
    this.type = type;
  }

  /** Lower case. */
  get uuid(): string {
    return this.name;
  }
  get directory(): string {
    return this.type.parent.path;
  }
  get subsystem(): Bus {
    return this.type.parent.core.bus;
  }
  override get driverName(): string | undefined {
    return this.bound || this.instance !== undefined ? this.type.parent.driver.name : undefined;
  }
  /** Its place in sys/kernel/debug/vfio. */
  get debugIno(): number {
    return this.#groupIno + groupSpan(this.instance?.groups ?? NO_GROUPS);
  }
  /** Its place in sys/kernel/debug/mdevsim. */
  get faultsIno(): number {
    return this.debugIno + 1 + groupSpan(this.instance?.debugfs?.vfio ?? NO_GROUPS);
  }
  /** Whether a client has the device open. */
  get inUse(): boolean {
    return this.binding?.inUse ?? false;
  }

  /** The driver's attributes as they are shown: none before probe() has ended and after unbinding has begun. */
  shownGroups(): readonly AttributeGroup[] {
    return (this.bound ? this.instance?.groups : undefined) ?? NO_GROUPS;
  }

  /** probe() has ended: its groups get their numbers. */
  adopt(instance: MdevInstance): void {
    this.instance = instance;
    const { groups, debugfs } = instance;
    const span = groupSpan(groups) + 2 + groupSpan(debugfs?.vfio ?? NO_GROUPS) + groupSpan(debugfs?.mdevsim ?? NO_GROUPS);
    this.#groupIno = this.machine.tree.allocateInos(span);
  }

  notify(attributePath: string): void {
    this.liveDirectory?.notify(attributePath);
  }

  /** Its directory if somebody has looked. */
  get liveDirectory(): LazyDir | undefined {
    return this.type.parent.children.liveNode(this.name) as LazyDir | undefined;
  }

  openGroup(request: FileRequest): Awaitable<OpenFile> {
    if (this.binding === undefined) throw new Errno('ENODEV');
    return this.binding.openGroup(request);
  }

  openCdev(request: FileRequest): Awaitable<OpenFile> {
    if (this.binding === undefined) throw new Errno('ENODEV');
    return this.binding.openCdev(request);
  }

  override sources(): ChildSource[] {
    return [
      ...super.sources(),
      new LayoutSource(MDEV, this, this.extraIno),
      new GroupSource(() => this.shownGroups(), this.#groupIno),
    ];
  }
}

const MDEV: Layout<MdevDevice> = new Layout<MdevDevice>([
  attribute(wo('remove', removeStore), ({ deleted }) => !deleted),
  link('mdev_type', ({ type }) => `../mdev_supported_types/${type.name}`, ({ deleted }) => !deleted),
  link('driver', (mdev) => relativePath(mdev.path, mdev.type.parent.driver.path), ({ bound }) => bound),
  link('iommu_group', (mdev) => relativePath(mdev.path, mdev.iommuGroup?.path ?? ''),
    ({ iommuGroup }) => iommuGroup !== undefined),
  sourced('vfio-dev', (mdev) => [cdevSource(mdev)], ({ vfioCdev }) => vfioCdev !== undefined),
]);
