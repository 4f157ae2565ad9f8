/**
 * RootDevice: a directory of sys/devices that stands for no hardware and only holds devices: sys/devices/ap,
 * sys/devices/vfio_ap. Source: drivers/base/core.c: __root_device_register().
 */
import type { Dir } from '../kernfs/dir.js';
import { rw } from '../sysfs/attribute.js';
import type { Device } from './device.js';
import { synthesize } from './device.js';
import { LazyDir, Members } from './lazy-dir.js';
import { attribute, directory, Layout, LayoutSource, link } from './layout.js';
import type { Machine } from './machine.js';
import { relativePath } from './path.js';
import type { PowerOwner, PowerState } from './power.js';
import { POWER } from './power.js';
import type { UeventSource } from './uevent.js';

export interface RootDeviceOptions {
  /** Name of the bus that its own uevents carry. */
  readonly bus?: string;
  /** Name below sys/module of the module that registered it; none for what is built in. */
  readonly module?: string;
}

export class RootDevice implements UeventSource, PowerOwner {
  readonly machine: Machine;
  /** Below /sys, `/devices/ap`. */
  readonly path: string;
  readonly subsystemName: string;
  readonly module: string | undefined;
  /** The devices directly in it. */
  readonly children: Members<Device>;
  readonly dir: LazyDir;
  power: PowerState | undefined = undefined;

  /** `parent` is sys/devices. Only Machine makes one. */
  constructor(machine: Machine, parent: Dir, name: string, options: RootDeviceOptions) {
    this.machine = machine;
    this.path = `/devices/${name}`;
    this.subsystemName = options.bus ?? '';
    this.module = options.module;
    this.children = new Members<Device>('dir', (device) => device.ino, (_ino, _name, device) => device.makeDirectory());
    const ino = machine.tree.allocateInos(1 + ROOT.span);
    const sources = [new LayoutSource(ROOT, this, ino + 1), this.children];
    this.dir = parent.attach(new LazyDir(ino, name, sources, { born: Date.now() }));
  }

  ueventVariables(): readonly string[] {
    return [];
  }
}

const ROOT: Layout<RootDevice> = new Layout<RootDevice>([
  attribute(rw('uevent', () => '', (root, data) => synthesize(root.machine, root, data))),
  directory('power', POWER),
  link('module', ({ path, module }) => relativePath(path, `/module/${module ?? ''}`), ({ module }) => module !== undefined),
]);
