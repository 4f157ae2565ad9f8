/**
 * Machine: the fake computer. Root directory with `sys` and `dev`, the driver core's registries, the uevent stream and the
 * kernel log. Knows nothing of mdev or VFIO: those register their classes, buses and devices here.
 */
import { Dir } from '../kernfs/dir.js';
import { Symlink } from '../kernfs/symlink.js';
import { Tree } from '../kernfs/tree.js';
import { Bus } from './bus.js';
import { Class } from './class.js';
import type { Device } from './device.js';
import { DeviceIno } from './device.js';
import { DeviceDirs } from './device-dirs.js';
import { Devtmpfs } from './devtmpfs.js';
import { IommuGroups } from './iommu-group.js';
import { KernelLog } from './klog.js';
import { LazyDir, Members } from './lazy-dir.js';
import type { ModuleDescription } from './module.js';
import { Module } from './module.js';
import { relativePath } from './path.js';
import type { RootDeviceOptions } from './root-device.js';
import { RootDevice } from './root-device.js';
import { UeventStream } from './uevent.js';

export class Machine {
  readonly tree: Tree;
  readonly root: Dir;
  readonly sys: Dir;
  readonly klog = new KernelLog();
  readonly uevents = new UeventStream();
  readonly iommuGroups: IommuGroups;
  readonly devtmpfs: Devtmpfs;
  /** sys/kernel/debug */
  readonly debugfs: Dir;
  readonly #classParent: Dir;
  readonly #busParent: Dir;
  readonly #classes = new Map<string, Class>();
  readonly #devices: Dir;
  readonly #virtual: DeviceDirs<Device>;
  /** By path, `/devices/ap`. */
  readonly #roots = new Map<string, RootDevice>();
  readonly #charDevices: Members<Device>;
  readonly #modules: Members<Module>;

  constructor(tree: Tree = new Tree()) {
    this.tree = tree;
    this.root = tree.root;
    this.sys = this.root.addDir('sys', 0o555);
    this.#busParent = this.sys.addDir('bus');
    this.#classParent = this.sys.addDir('class');
    const kernel = this.sys.addDir('kernel');
    this.iommuGroups = new IommuGroups(kernel);
    this.debugfs = kernel.attach(new Dir(tree.allocateInos(1), 'debug', 0o700, 'newest'));
    this.devtmpfs = new Devtmpfs(this.root);
    this.#devices = this.sys.addDir('devices');
    this.#virtual = new DeviceDirs<Device>(this.#devices.addDir('virtual'), {
      kind: 'dir',
      inoOf: (device) => device.ino,
      make: (_ino, _name, device) => device.makeDirectory(),
    }, 'hash');
    this.#charDevices = new Members<Device>('symlink', (device) => device.ino + DeviceIno.CharLink,
      (ino, name, device) => new Symlink(ino, name, relativePath('/dev/char', device.path)));
    this.#show(this.sys.addDir('dev'), 'char', this.#charDevices);
    this.#modules = new Members<Module>('dir', (module) => module.ino, (_ino, _name, module) => module.makeDirectory());
    this.#show(this.sys, 'module', this.#modules);
    this.class('iommu');
    this.class('misc');
  }

  /** sys/class/<name>, made at first use. */
  class(name: string): Class {
    const known = this.#classes.get(name);
    if (known !== undefined) return known;
    const made = new Class(this.#classParent, name);
    this.#classes.set(name, made);
    return made;
  }

  /** class_unregister() */
  removeClass(name: string): void {
    const known = this.#classes.get(name);
    if (known === undefined) return;
    this.#classes.delete(name);
    void this.tree.remove(known.dir);
  }

  /** bus_register(): a new sys/bus/<name>. */
  addBus(name: string): Bus {
    return new Bus(this, this.#busParent, name);
  }

  /** bus_unregister() */
  removeBus(bus: Bus): void {
    void this.tree.remove(bus.dir);
  }

  /** root_device_register(): a new sys/devices/<name>; devices whose directory it is are placed there by addDevice(). */
  addRootDevice(name: string, options: RootDeviceOptions = {}): RootDevice {
    const root = new RootDevice(this, this.#devices, name, options);
    this.#roots.set(root.path, root);
    return root;
  }

  /** root_device_unregister(); its devices are gone before. */
  removeRootDevice(root: RootDevice): void {
    this.#roots.delete(root.path);
    void this.tree.remove(root.dir);
  }

  addModule(description: ModuleDescription): Module {
    const module = new Module(this, description);
    this.#modules.add(description.name, module);
    for (const used of description.uses ?? []) this.#modules.get(used)?.holders.add(description.name, module);
    return module;
  }

  module(name: string): Module | undefined {
    return this.#modules.get(name);
  }

  removeModule(module: Module): void {
    const { name, uses } = module.description;
    for (const used of uses ?? []) void this.#modules.get(used)?.holders.delete(name);
    void this.#modules.delete(name);
  }

  /**
   * device_add() of a device below sys/devices/virtual or in a root device: everything that shows it, then the uevent. A
   * device inside another one (mdev, vfio-dev) is shown by that one; `placed` then leaves out the directory.
   */
  addDevice(device: Device, placed = false): void {
    if (!placed) this.#place(device);
    if (device.devt !== undefined) this.#charDevices.add(charName(device), device);
    this.devtmpfs.add(device);
    if (device.subsystem instanceof Class) device.subsystem.devices.add(device.name, device);
    this.uevents.emit('add', device);
  }

  /** device_del(): the uevent, then out of everything. The promise is for operations that still run on its files. */
  removeDevice(device: Device, placed = false): Promise<void> | undefined {
    this.devtmpfs.remove(device);
    if (device.subsystem instanceof Class) void device.subsystem.devices.delete(device.name);
    if (device.devt !== undefined) void this.#charDevices.delete(charName(device));
    const wait = placed ? undefined : this.#displace(device);
    this.uevents.emit('remove', device);
    return wait;
  }

  #place(device: Device): void {
    const root = this.#roots.get(device.directory);
    if (root === undefined) this.#virtual.add(virtualPath(device), device.name, device);
    else root.children.add(device.name, device);
  }

  #displace(device: Device): Promise<void> | undefined {
    const root = this.#roots.get(device.directory);
    return root === undefined ? this.#virtual.delete(virtualPath(device), device.name) : root.children.delete(device.name);
  }

  #show<T extends object>(parent: Dir, name: string, members: Members<T>): void {
    parent.attach(new LazyDir(this.tree.allocateInos(1), name, [members], { born: Date.now() }));
  }
}

function charName({ devt }: Device): string {
  return `${devt?.major ?? 0}:${devt?.minor ?? 0}`;
}

function virtualPath(device: Device): string {
  return device.directory.replace(/^\/devices\/virtual\/?/, '');
}
