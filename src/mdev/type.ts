/** MdevType: struct mdev_type, one directory of mdev_supported_types. Source: drivers/vfio/mdev/mdev_sysfs.c. */
import { deviceLinks } from '../device/class.js';
import { DeviceIno } from '../device/device.js';
import type { Device } from '../device/device.js';
import type { Members } from '../device/lazy-dir.js';
import { LazyDir } from '../device/lazy-dir.js';
import { attribute, Layout, LayoutSource, sourced } from '../device/layout.js';
import { ro, wo } from '../sysfs/attribute.js';
import type { MdevTypeDescription } from './driver.js';
import type { MdevParent } from './parent.js';
import { createStore } from './sysfs.js';

export class MdevType {
  readonly parent: MdevParent;
  readonly description: MdevTypeDescription;
  readonly ino: number;
  /** Links to its devices. */
  readonly devices: Members<Device>;

  constructor(parent: MdevParent, description: MdevTypeDescription) {
    this.parent = parent;
    this.description = description;
    this.ino = parent.machine.tree.allocateInos(1 + TYPE.span);
    this.devices = deviceLinks(`${parent.path}/mdev_supported_types/${description.name}/devices`, DeviceIno.Type);
  }

  get name(): string {
    return this.description.name;
  }
  get availableInstances(): number {
    return this.parent.ops.availableInstances(this.description);
  }

  makeDirectory(): LazyDir {
    return new LazyDir(this.ino, this.name, [new LayoutSource(TYPE, this, this.ino + 1)]);
  }
}

const TYPE: Layout<MdevType> = new Layout<MdevType>([
  attribute(wo('create', createStore)),
  attribute(ro('available_instances', (type) => `${type.availableInstances}\n`)),
  attribute(ro('device_api', ({ description }) => `${description.deviceApi}\n`)),
  attribute(ro('name', ({ description }) => `${description.prettyName ?? ''}\n`),
    ({ description }) => description.prettyName !== undefined),
  attribute(ro('description', ({ description }) => `${description.description ?? ''}\n`),
    ({ description }) => description.description !== undefined),
  sourced('devices', ({ devices }) => [devices]),
]);
