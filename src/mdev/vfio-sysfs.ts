/**
 * What sysfs and /dev show of a device that VFIO has: class/vfio/N with /dev/vfio/N, and vfio-dev/vfioN with
 * /dev/vfio/devices/vfioN. Source: drivers/vfio/group.c: vfio_create_group(), drivers/vfio/vfio_main.c: vfio_init_device().
 */
import type { AttributeGroup } from '../sysfs/group.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import type { Class } from '../device/class.js';
import type { DeviceNumber } from '../device/device.js';
import { Device } from '../device/device.js';
import { debugDirectory } from '../device/debugfs.js';
import { Ida } from '../device/ida.js';
import type { ChildSource, LazyDir, Members } from '../device/lazy-dir.js';
import { Layout, LayoutSource, link } from '../device/layout.js';
import type { Machine } from '../device/machine.js';
import type { MdevDevice } from './device.js';

/** As on the recorded kernel; a real one gives out what is free. */
const VFIO_MAJOR = 253;
const VFIO_DEV_MAJOR = 252;

/** /dev/vfio/<group> */
export class VfioGroupDevice extends Device {
  constructor(private readonly mdev: MdevDevice, private readonly vfio: VfioSysfs) {
    super(mdev.machine);
  }
  get name(): string {
    return String(this.mdev.group);
  }
  get directory(): string {
    return '/devices/virtual/vfio';
  }
  get subsystem(): Class {
    return this.vfio.groupClass;
  }
  get born(): number {
    return this.mdev.born;
  }
  override get devt(): DeviceNumber {
    return { major: VFIO_MAJOR, minor: this.mdev.group, node: `vfio/${this.mdev.group}` };
  }
  override open(request: FileRequest): Awaitable<OpenFile> {
    return this.mdev.openGroup(request);
  }
}

/** <mdev>/vfio-dev/vfioN, /dev/vfio/devices/vfioN */
export class VfioCdevDevice extends Device {
  constructor(private readonly mdev: MdevDevice, private readonly vfio: VfioSysfs) {
    super(mdev.machine, VFIO_DEV.span);
  }
  get name(): string {
    return `vfio${this.mdev.index}`;
  }
  get directory(): string {
    return `${this.mdev.path}/vfio-dev`;
  }
  get subsystem(): Class {
    return this.vfio.deviceClass;
  }
  get born(): number {
    return this.mdev.born;
  }
  get parentName(): string {
    return this.mdev.name;
  }
  override get devt(): DeviceNumber {
    return { major: VFIO_DEV_MAJOR, minor: this.mdev.index, node: `vfio/devices/${this.name}` };
  }
  override open(request: FileRequest): Awaitable<OpenFile> {
    return this.mdev.openCdev(request);
  }
  override sources(): ChildSource[] {
    return [...super.sources(), new LayoutSource(VFIO_DEV, this, this.extraIno)];
  }
}

const VFIO_DEV: Layout<VfioCdevDevice> = new Layout<VfioCdevDevice>([
  link('device', (device) => `../../../${device.parentName}`),
]);

/** The source of an mdev's directory `vfio-dev`. */
export function cdevSource(mdev: MdevDevice): ChildSource {
  return {
    get directories() {
      return mdev.vfioCdev === undefined ? 0 : 1;
    },
    find: (name) => {
      const cdev = mdev.vfioCdev;
      if (cdev === undefined || cdev.name !== name) return undefined;
      return { name, ino: cdev.ino, kind: 'dir', make: (): LazyDir => cdev.makeDirectory() };
    },
    list: () => (mdev.vfioCdev === undefined ? [] : [{ name: mdev.vfioCdev.name, ino: mdev.vfioCdev.ino, kind: 'dir' }]),
  };
}

/** The classes, the debugfs directories and the numbers; one per machine. */
export class VfioSysfs {
  readonly groupClass: Class;
  readonly deviceClass: Class;
  /** N of vfioN. */
  readonly indexes = new Ida();
  /** sys/kernel/debug/vfio */
  readonly debug: Members<MdevDevice>;
  /** sys/kernel/debug/mdevsim: policies and faults. */
  readonly faults: Members<MdevDevice>;

  constructor(machine: Machine) {
    this.groupClass = machine.class('vfio');
    this.deviceClass = machine.class('vfio-dev');
    const born = (mdev: MdevDevice): number => mdev.born;
    this.debug = debugDirectory(machine.debugfs, 'vfio', { ino: (mdev) => mdev.debugIno, groups: vfioGroups, born });
    this.faults = debugDirectory(machine.debugfs, 'mdevsim', { ino: (mdev) => mdev.faultsIno, groups: faultGroups, born });
  }
}

/** Those of the driver, for the two debugfs directories. */
function vfioGroups({ instance }: MdevDevice): readonly AttributeGroup[] {
  return instance?.debugfs?.vfio ?? [];
}

function faultGroups({ instance }: MdevDevice): readonly AttributeGroup[] {
  return instance?.debugfs?.mdevsim ?? [];
}
