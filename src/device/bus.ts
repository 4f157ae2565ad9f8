/** Bus: a directory of sys/bus with its devices and drivers. Source: drivers/base/bus.c. */
import { Errno } from '../abi/errno.js';
import type { Dir } from '../kernfs/dir.js';
import { rw, wo } from '../sysfs/attribute.js';
import { deviceLinks } from './class.js';
import type { Device, Subsystem } from './device.js';
import { DeviceIno, synthesize } from './device.js';
import type { Driver } from './driver.js';
import { cString } from './kstrtox.js';
import { LazyDir, Members } from './lazy-dir.js';
import { attribute, Layout, LayoutSource, sourced } from './layout.js';
import type { Machine } from './machine.js';
import type { UeventSource } from './uevent.js';

/** device_match_name() with sysfs_streq(): one newline at the end does not count. */
export function deviceName(data: Uint8Array): string {
  return cString(data).replace(/\n$/, '');
}

export class Bus implements Subsystem, UeventSource {
  readonly machine: Machine;
  readonly name: string;
  readonly path: string;
  readonly subsystemName = 'bus';
  readonly devices: Members<Device>;
  readonly drivers: Members<Driver>;
  readonly dir: LazyDir;
  /** drivers_autoprobe; read back, but mdev devices are bound by their creator all the same. */
  autoprobe = true;

  /** `parent` is sys/bus. */
  constructor(machine: Machine, parent: Dir, name: string) {
    this.machine = machine;
    this.name = name;
    this.path = `/bus/${name}`;
    this.devices = deviceLinks(`${this.path}/devices`, DeviceIno.Subsystem);
    this.drivers = new Members('dir', (driver) => driver.ino, (_ino, _name, driver) => driver.makeDirectory());
    const ino = machine.tree.allocateInos(1 + BUS.span);
    this.dir = parent.attach(new LazyDir(ino, name, [new LayoutSource(BUS, this, ino + 1)], { born: Date.now() }));
  }

  ueventVariables(): readonly string[] {
    return [];
  }
}

const BUS: Layout<Bus> = new Layout<Bus>([
  sourced('devices', (bus) => [bus.devices]),
  sourced('drivers', (bus) => [bus.drivers]),
  attribute(rw('drivers_autoprobe', (bus) => (bus.autoprobe ? '1\n' : '0\n'), (bus, data) => {
    bus.autoprobe = data[0] !== 0x30;
  })),
  /** No driver of a bus here matches by itself, so a device that exists is left as it is. */
  attribute(wo('drivers_probe', (bus, data) => {
    if (bus.devices.get(deviceName(data)) === undefined) throw new Errno('ENODEV');
  })),
  attribute(wo('uevent', (bus, data) => synthesize(bus.machine, bus, data))),
]);
