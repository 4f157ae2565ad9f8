/** IOMMU groups: sys/kernel/iommu_groups/<n>. Source: drivers/iommu/iommu.c. */
import { Errno } from '../abi/errno.js';
import type { Dir, DirEntry } from '../kernfs/dir.js';
import { Symlink } from '../kernfs/symlink.js';
import { ro, rw } from '../sysfs/attribute.js';
import type { Device } from './device.js';
import { DeviceIno } from './device.js';
import { Ida } from './ida.js';
import type { ChildSource, LazyChild } from './lazy-dir.js';
import { LazyDir, Members } from './lazy-dir.js';
import { attribute, Layout, LayoutSource, sourced } from './layout.js';
import { relativePath } from './path.js';

const ROOT = '/kernel/iommu_groups';

/** The group of one emulated device. */
export class IommuGroup implements ChildSource {
  readonly number: number;
  readonly ino: number;
  readonly device: Device;

  constructor(number: number, device: Device) {
    this.number = number;
    this.device = device;
    this.ino = device.machine.tree.allocateInos(1 + GROUP.span);
  }

  get path(): string {
    return `${ROOT}/${this.number}`;
  }
  /* As the source of its subdirectory `devices`. */
  get directories(): number {
    return 0;
  }
  find(name: string): LazyChild | undefined {
    const { device } = this;
    if (name !== device.name) return undefined;
    const ino = device.ino + DeviceIno.Group;
    const target = relativePath(`${this.path}/devices`, device.path);
    return { name, ino, kind: 'symlink', make: () => new Symlink(ino, name, target) };
  }
  *list(): Iterable<DirEntry> {
    yield { name: this.device.name, ino: this.device.ino + DeviceIno.Group, kind: 'symlink' };
  }

  makeDirectory(): LazyDir {
    return new LazyDir(this.ino, String(this.number), [new LayoutSource(GROUP, this, this.ino + 1)], { born: this.device.born });
  }
}

const GROUP: Layout<IommuGroup> = new Layout<IommuGroup>([
  sourced('devices', (group) => [group]),
  attribute(ro('name', () => 'vfio-noiommu\n')),
  /** A group without a domain of its own has no type that could be changed. */
  attribute(rw('type', () => 'unknown\n', () => { throw new Errno('EINVAL'); })),
  attribute(ro('reserved_regions', () => '')),
]);

export class IommuGroups {
  readonly #numbers = new Ida();
  readonly groups = new Members<IommuGroup>('dir', (group) => group.ino, (_ino, _name, group) => group.makeDirectory());

  /** `parent` is sys/kernel. */
  constructor(parent: Dir) {
    parent.attach(new LazyDir(parent.tree.allocateInos(1), 'iommu_groups', [this.groups], { born: Date.now() }));
  }

  /** iommu_group_alloc() and iommu_group_add_device(): the lowest free number. */
  add(device: Device): IommuGroup {
    const group = new IommuGroup(this.#numbers.alloc(), device);
    this.groups.add(String(group.number), group);
    device.log(`Adding to iommu group ${group.number}`);
    return group;
  }

  /** iommu_group_remove_device(), and the group with it. */
  remove(group: IommuGroup): Promise<void> | undefined {
    group.device.log(`Removing from iommu group ${group.number}`);
    const wait = this.groups.delete(String(group.number));
    this.#numbers.free(group.number);
    return wait;
  }
}
