/** MdevParent: the fake physical device with its types and mdevs. drivers/vfio/mdev/mdev_core.c: mdev_register_parent(). */
import type { Class } from '../device/class.js';
import type { Subsystem } from '../device/device.js';
import { Device } from '../device/device.js';
import { Driver } from '../device/driver.js';
import type { ChildSource } from '../device/lazy-dir.js';
import { Members } from '../device/lazy-dir.js';
import { GroupSource, groupSpan, Layout, LayoutSource, link, sourced } from '../device/layout.js';
import { relativePath } from '../device/path.js';
import type { MdevCore } from './core.js';
import type { MdevDevice } from './device.js';
import type { MdevDriver, MdevParentOps } from './driver.js';
import { MdevType } from './type.js';

export class MdevParent extends Device {
  readonly core: MdevCore;
  /** sys/bus/mdev/drivers/<driver> */
  readonly driver: Driver;
  readonly name: string;
  readonly directory: string;
  readonly subsystem: Subsystem;
  /** Its own driver; a parent in a class has none. */
  readonly bound: Driver | undefined;
  readonly born = Date.now();
  readonly ops: MdevParentOps;
  /** Directories of mdev_supported_types. */
  readonly types: Members<MdevType>;
  /** Directories of its mdevs, in its own directory. */
  readonly children: Members<MdevDevice>;
  /** The driver is being unloaded: nothing can be created any more. */
  leaving = false;
  readonly #declared: MdevDriver;

  constructor(core: MdevCore, driver: Driver, declared: MdevDriver, number: number, home: Class | Driver) {
    super(core.machine, PARENT.span + groupSpan(declared.parentGroups ?? []));
    const path = declared.parentPath(number).split('/');
    this.core = core;
    this.driver = driver;
    this.#declared = declared;
    this.name = path.pop() ?? declared.name;
    this.directory = `/devices/${path.join('/')}`;
    this.bound = home instanceof Driver ? home : undefined;
    this.subsystem = home instanceof Driver ? home.bus : home;
    this.ops = declared.createParent(number);
    this.types = new Members<MdevType>('dir', (type) => type.ino, (_ino, _name, type) => type.makeDirectory());
    this.children = new Members<MdevDevice>('dir', (mdev) => mdev.ino, (_ino, _name, mdev) => mdev.makeDirectory());
    for (const description of this.ops.types) this.types.add(description.name, new MdevType(this, description));
  }

  override get driverName(): string | undefined {
    return this.bound?.name;
  }

  override ueventVariables(): readonly string[] {
    return [...super.ueventVariables(), ...this.#declared.parentVariables?.(this.name) ?? []];
  }

  override sources(): ChildSource[] {
    const groups = this.#declared.parentGroups ?? [];
    return [
      ...super.sources(),
      new LayoutSource(PARENT, this, this.extraIno),
      new GroupSource(() => groups, this.extraIno + PARENT.span),
      this.children,
    ];
  }
}

const PARENT: Layout<MdevParent> = new Layout<MdevParent>([
  sourced('mdev_supported_types', ({ types }) => [types]),
  link('driver', ({ path, bound }) => relativePath(path, bound?.path ?? ''), ({ bound }) => bound !== undefined),
]);
