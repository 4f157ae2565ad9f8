/**
 * Driver: a directory of sys/bus/<bus>/drivers. Only unbinding does something: mdev drivers never match a device by
 * themselves (drivers/vfio/mdev/mdev_driver.c: mdev_match()), so bind answers ENODEV. Source: drivers/base/bus.c.
 */
import { Errno } from '../abi/errno.js';
import type { AttributeRequest } from '../sysfs/attribute.js';
import type { Awaitable } from '../kernfs/file.js';
import { wo } from '../sysfs/attribute.js';
import type { Bus } from './bus.js';
import { deviceName } from './bus.js';
import { deviceLinks } from './class.js';
import type { Device } from './device.js';
import { DeviceIno, synthesize } from './device.js';
import { LazyDir } from './lazy-dir.js';
import type { Members } from './lazy-dir.js';
import { attribute, Layout, LayoutSource, link } from './layout.js';
import { relativePath } from './path.js';
import type { UeventSource } from './uevent.js';

/** device_driver_detach() of one of the driver's devices. */
export type Detach = (device: Device, request: AttributeRequest) => Awaitable<void>;

export class Driver implements UeventSource {
  readonly subsystemName = 'drivers';
  readonly path: string;
  readonly ino: number;
  readonly devices: Members<Device>;
  readonly born = Date.now();

  /** `module`: name below sys/module. */
  constructor(readonly bus: Bus, readonly name: string, readonly module: string, readonly detach: Detach) {
    this.path = `${bus.path}/drivers/${name}`;
    this.ino = bus.machine.tree.allocateInos(1 + DRIVER.span);
    this.devices = deviceLinks(this.path, DeviceIno.Driver);
  }

  ueventVariables(): readonly string[] {
    return [];
  }

  makeDirectory(): LazyDir {
    return new LazyDir(this.ino, this.name, [new LayoutSource(DRIVER, this, this.ino + 1), this.devices], { born: this.born });
  }
}

const DRIVER: Layout<Driver> = new Layout<Driver>([
  attribute(wo('bind', () => { throw new Errno('ENODEV'); })),
  attribute(wo('unbind', (driver, data, request) => {
    const device = driver.devices.get(deviceName(data));
    if (device === undefined) throw new Errno('ENODEV');
    return driver.detach(device, request);
  })),
  attribute(wo('uevent', (driver, data) => synthesize(driver.bus.machine, driver, data))),
  link('module', (driver) => relativePath(driver.path, `/module/${driver.module}`)),
]);
