/** Misc devices: single nodes of major 10, class/misc. Source: drivers/char/misc.c. */
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import type { DeviceNumber } from './device.js';
import { Device } from './device.js';
import type { Machine } from './machine.js';

const MISC_MAJOR = 10;

export interface MiscDevice {
  /** `vfio`: class/misc/<name>. */
  readonly name: string;
  readonly minor: number;
  /** Below /dev; the name when left out. */
  readonly nodename?: string;
  /** Permission bits of the node. */
  readonly mode?: number;
  open(request: FileRequest): Awaitable<OpenFile>;
}

class MiscNode extends Device {
  readonly directory = '/devices/virtual/misc';
  readonly subsystem = this.machine.class('misc');
  readonly born = Date.now();

  constructor(machine: Machine, private readonly misc: MiscDevice) {
    super(machine);
  }

  get name(): string {
    return this.misc.name;
  }
  override get devt(): DeviceNumber {
    const { name, minor, nodename, mode } = this.misc;
    return { major: MISC_MAJOR, minor, node: nodename ?? name, mode };
  }

  override open(request: FileRequest): Awaitable<OpenFile> {
    return this.misc.open(request);
  }
}

/** misc_register(): /dev/vfio/vfio, /dev/iommu. Returns misc_deregister(). */
export function registerMisc(machine: Machine, misc: MiscDevice): () => void {
  const device = new MiscNode(machine, misc);
  machine.addDevice(device);
  return () => void machine.removeDevice(device);
}
