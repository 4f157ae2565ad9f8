/**
 * Device: struct device. One object per device; its directory, links and files are made from the layout when somebody looks.
 *
 * Lifetime: constructed, then Machine.addDevice() makes it visible at once (its place below sys/devices, the list of its class,
 * sys/dev/char, /dev), and Machine.removeDevice() takes it out. The owner calls both, and keeps the lists of its bus.
 */
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { Errno } from '../abi/errno.js';
import { ro, rw } from '../sysfs/attribute.js';
import { cString } from './kstrtox.js';
import type { ChildSource } from './lazy-dir.js';
import { LazyDir } from './lazy-dir.js';
import { attribute, directory, Layout, LayoutSource, link } from './layout.js';
import type { Machine } from './machine.js';
import { relativePath } from './path.js';
import type { PowerState } from './power.js';
import { POWER } from './power.js';
import type { UeventSource } from './uevent.js';
import { parseSyntheticUevent, SyntheticUeventError } from './uevent.js';

/** The class or bus of a device. */
export interface Subsystem {
  /** `mdev`, `vfio` */
  readonly name: string;
  /** Below /sys, `/bus/mdev`. */
  readonly path: string;
}

/** Its character device. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
  /** Below /dev, `vfio/0`. */
  readonly node: string;
  /** Permission bits of the node where they are not 0600; uevents then have DEVMODE. */
  readonly mode?: number | undefined;
}

/** The numbers of a device's block that belong to nodes outside its directory; the directory itself has the first. */
export enum DeviceIno { Directory, Subsystem, CharLink, Node, Driver, Type, Group, Compat, Layout }

export abstract class Device implements UeventSource {
  readonly machine: Machine;
  /** First number of the block. */
  readonly ino: number;
  power: PowerState | undefined = undefined;
  /** device_del() has begun: the common attributes and links are gone. */
  deleted = false;

  /** `extraInos`: how many numbers the subclass needs after those of the common layout. */
  constructor(machine: Machine, extraInos = 0) {
    this.machine = machine;
    this.ino = machine.tree.allocateInos(DeviceIno.Layout + DEVICE.span + extraInos);
  }

  abstract readonly name: string;
  /** Directory that holds it, `/devices/virtual/vfio`. */
  abstract readonly directory: string;
  abstract readonly subsystem: Subsystem;
  /** ms since the epoch. */
  abstract readonly born: number;

  get devt(): DeviceNumber | undefined {
    return undefined;
  }
  /** Below /sys. */
  get path(): string {
    return `${this.directory}/${this.name}`;
  }
  get subsystemName(): string {
    return this.subsystem.name;
  }
  /** Name of the bound driver. */
  get driverName(): string | undefined {
    return undefined;
  }
  /** First number after those of the common layout. */
  get extraIno(): number {
    return this.ino + DeviceIno.Layout + DEVICE.span;
  }

  /** The name of its struct device_type, where it has one. */
  get typeName(): string | undefined {
    return undefined;
  }

  /** dev_uevent() */
  ueventVariables(): readonly string[] {
    const { devt, driverName, typeName } = this;
    const variables: string[] = [];
    if (devt !== undefined) {
      variables.push(`MAJOR=${devt.major}`, `MINOR=${devt.minor}`, `DEVNAME=${devt.node}`);
      if (devt.mode !== undefined) variables.push(`DEVMODE=0${devt.mode.toString(8)}`);
    }
    if (typeName !== undefined) variables.push(`DEVTYPE=${typeName}`);
    if (driverName !== undefined) variables.push(`DRIVER=${driverName}`);
    return variables;
  }

  /** dev_info(): `mtty 1111-...: message` */
  log(message: string): void {
    this.machine.klog.print(`${this.driverName ?? this.subsystem.name} ${this.name}: ${message}`, this.name);
  }

  /** open(2) of its node in /dev. */
  open(_request: FileRequest): Awaitable<OpenFile> {
    throw new Errno('ENXIO');
  }

  /** What its directory shows. Subclasses add their own sources. */
  sources(): ChildSource[] {
    return [new LayoutSource(DEVICE, this, this.ino + DeviceIno.Layout)];
  }

  makeDirectory(): LazyDir {
    return new LazyDir(this.ino, this.name, this.sources(), { born: this.born });
  }
}

/** The store of every attribute `uevent`. */
export function synthesize(machine: Machine, source: UeventSource, data: Uint8Array): void {
  try {
    const { action, env } = parseSyntheticUevent(cString(data));
    machine.uevents.emit(action, source, env);
  } catch (error) {
    if (error instanceof SyntheticUeventError) {
      machine.klog.print(`synth uevent: ${source.path}: ${error.logMessage}`);
      if (source instanceof Device) source.log('uevent: failed to send synthetic uevent: -22');
    }
    throw error;
  }
}

const present = ({ deleted }: Device): boolean => !deleted;

const DEVICE: Layout<Device> = new Layout<Device>([
  attribute(rw('uevent', (device) => device.ueventVariables().map((line) => `${line}\n`).join(''),
    (device, data) => synthesize(device.machine, device, data)), present),
  directory('power', POWER, present),
  attribute(ro('dev', ({ devt }) => (devt === undefined ? '' : `${devt.major}:${devt.minor}\n`)),
    ({ devt, deleted }) => devt !== undefined && !deleted),
  link('subsystem', (device) => relativePath(device.path, device.subsystem.path), present),
]);
