/** Class: a directory of sys/class with a link per device. Source: drivers/base/class.c. */
import type { Dir } from '../kernfs/dir.js';
import { Symlink } from '../kernfs/symlink.js';
import type { Device, Subsystem } from './device.js';
import { DeviceIno } from './device.js';
import { LazyDir, Members } from './lazy-dir.js';
import { relativePath } from './path.js';
import type { UeventSource } from './uevent.js';

/** A list of links to devices in the directory `path`, with the number that those links have in a device's block. */
export function deviceLinks(path: string, place: DeviceIno): Members<Device> {
  return new Members<Device>('symlink', (device) => device.ino + place,
    (ino, name, device) => new Symlink(ino, name, relativePath(path, device.path)));
}

export class Class implements Subsystem, UeventSource {
  readonly subsystemName = 'class';
  readonly name: string;
  readonly path: string;
  readonly devices: Members<Device>;
  readonly dir: LazyDir;

  /** `parent` is sys/class. */
  constructor(parent: Dir, name: string) {
    this.name = name;
    this.path = `/class/${name}`;
    this.devices = deviceLinks(this.path, DeviceIno.Subsystem);
    this.dir = parent.attach(new LazyDir(parent.tree.allocateInos(1), name, [this.devices], { born: Date.now() }));
  }

  ueventVariables(): readonly string[] {
    return [];
  }
}
