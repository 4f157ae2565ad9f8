/** LabDevice: one mdev of a lab, as the library's user holds it. Valid until the device is removed; then methods throw ENODEV. */
import { Errno, withDetail } from '../abi/errno.js';
import type { MigrationBlocker } from '../blocker/blocker.js';
import type { BlockerPolicyName } from '../blocker/policy.js';
import { LabControls } from '../controls/controls.js';
import type { Dir } from '../kernfs/dir.js';
import type { MdevDevice } from '../mdev/device.js';
import { MigrationMachine } from '../vfio/migration.js';
import type { MigrationHooks, MigrationWalk, StreamDirection } from '../vfio/migration-hooks.js';
import { migrationStateName } from '../vfio/migration-states.js';
import { trace } from '../trace/trace.js';
import { readAttribute, writeAttribute } from './attributes.js';
import type { LabEvents } from './events.js';

/** The blocker that a driver's device has, if its driver opted in. */
export function blockerOf(mdev: MdevDevice): MigrationBlocker | undefined {
  const { controls } = (mdev.instance?.vfio ?? {}) as { readonly controls?: unknown };
  return controls instanceof LabControls ? controls.blocker : undefined;
}

export function migrationOf(mdev: MdevDevice): MigrationMachine | undefined {
  const migration = mdev.instance?.vfio.migration;
  return migration instanceof MigrationMachine ? migration : undefined;
}

/** What a LabDevice asks its lab. */
export interface LabDeviceOwner {
  /** Whether the device is there: bound to its driver or not. */
  has(mdev: MdevDevice): boolean;
  remove(mdev: MdevDevice): Promise<void>;
}

export class LabDevice {
  readonly uuid: string;
  /** Directory below the lab's root: `sys/devices/virtual/mtty/mtty/<uuid>`. */
  readonly path: string;
  readonly #mdev: MdevDevice;
  readonly #owner: LabDeviceOwner;

  /** Only Lab makes one. */
  constructor(mdev: MdevDevice, owner: LabDeviceOwner) {
    this.uuid = mdev.uuid;
    this.path = `sys${mdev.path}`;
    this.#mdev = mdev;
    this.#owner = owner;
  }

  /** `mtty-1` */
  get type(): string {
    return this.#mdev.type.name;
  }
  /** Name of the parent device, `mtty`. */
  get parent(): string {
    return this.#mdev.type.parent.name;
  }
  /** N of /dev/vfio/N. */
  get group(): number {
    return this.#mdev.group;
  }
  /** N of /dev/vfio/devices/vfioN. */
  get index(): number {
    return this.#mdev.index;
  }
  /** Whether a client has it open. */
  get inUse(): boolean {
    return this.#mdev.inUse;
  }
  get removed(): boolean {
    return !this.#owner.has(this.#mdev);
  }
  /** RUNNING, PRE_COPY, ... as debugfs has it. */
  get migrationState(): string {
    return migrationStateName(this.#migration().getState());
  }
  /** Content of migration_block. */
  get blocked(): boolean {
    return this.#blocker().blocked;
  }
  get policy(): BlockerPolicyName {
    return this.#blocker().policy;
  }
  /** Whether the policy in force takes a migration as running: a block would fail with EBUSY. */
  get migrationRunning(): boolean {
    return this.#blocker().migrationRunning;
  }

  /** Writes migration_block. Throws EBUSY while a migration runs. */
  block(blocked = true): void {
    try {
      this.#blocker().set(blocked);
    } catch (error) {
      throw withDetail(error, `${this.uuid}: a migration runs`);
    }
  }
  setPolicy(policy: BlockerPolicyName): void {
    this.#blocker().setPolicy(policy);
  }

  /** An attribute in the device's directory: `migration_block`, `vendor/sample_mdev_dev`. Throws the errno of open or read. */
  read(attribute: string): Promise<string> {
    return readAttribute(this.#root(), `${this.path}/${attribute}`);
  }
  /** One write(2) to an attribute. Throws the errno of open or write. */
  write(attribute: string, data: string | Uint8Array, signal?: AbortSignal): Promise<void> {
    return writeAttribute(this.#root(), `${this.path}/${attribute}`, data, signal);
  }

  /** Sets a fault: delay, fail, stream_fail, stream_cut, state_size, dirty_rate, features (src/fault/knobs.ts). Throws EINVAL. */
  fault(knob: string, value: string | number): Promise<void> {
    return writeAttribute(this.#root(), `sys/kernel/debug/mdevsim/${this.uuid}/${knob}`, String(value));
  }
  /** A knob as it reads, without the newline. */
  async readFault(knob: string): Promise<string> {
    return (await readAttribute(this.#root(), `sys/kernel/debug/mdevsim/${this.uuid}/${knob}`)).replace(/\n$/, '');
  }

  /** `echo 1 > remove`; resolves when the device is gone, which is when its last client has closed it. */
  remove(): Promise<void> {
    return this.#owner.remove(this.#mdev);
  }

  #root(): Dir {
    return this.#mdev.machine.root;
  }
  #blocker(): MigrationBlocker {
    const blocker = blockerOf(this.#mdev);
    if (blocker === undefined) throw new Errno('ENODEV', this.uuid);
    return blocker;
  }
  #migration(): MigrationMachine {
    const migration = migrationOf(this.#mdev);
    if (migration === undefined) throw new Errno('ENODEV', this.uuid);
    return migration;
  }
}

/** Tells `events` what happens to a device's migration. One small object per device: there may be ten thousand. */
class MigrationWatch implements MigrationHooks {
  constructor(private readonly uuid: string, private readonly events: LabEvents) {}

  afterArc(from: number, to: number): void {
    this.#step(migrationStateName(from), migrationStateName(to), false);
  }
  completed({ from, to }: MigrationWalk): void {
    this.events.emit({ type: 'transition', uuid: this.uuid, from: migrationStateName(from), to: migrationStateName(to) });
  }
  reset(from: number, to: number): void {
    this.#step(migrationStateName(from), migrationStateName(to), true);
  }
  dataSizeQueried(): void {
    trace('migration.size', { device: this.uuid });
    this.events.emit({ type: 'data-size', uuid: this.uuid });
  }
  streamLimit(direction: StreamDirection, position: number, size: number): number {
    trace('migration.data', { device: this.uuid, direction, bytes: size, position });
    this.events.emit({ type: 'data', uuid: this.uuid, direction, bytes: position + size });
    return size;
  }

  #step(from: string, to: string, reset: boolean): void {
    trace('migration.state', { device: this.uuid, from, to, reset });
    this.events.emit({ type: 'state', uuid: this.uuid, from, to, reset });
  }
}

/** Tells `events` what happens to the device's migration and blocker. */
export function watchDevice(mdev: MdevDevice, events: LabEvents): void {
  const { uuid } = mdev;
  const blocker = blockerOf(mdev);
  if (blocker !== undefined) {
    blocker.observer = (blocked, refused) => {
      trace('blocker.set', { device: uuid, blocked, policy: blocker.policy, result: refused ? 'EBUSY' : 'ok' });
      events.emit({ type: 'block', uuid, blocked, refused });
    };
  }
  migrationOf(mdev)?.addHooks(new MigrationWatch(uuid, events));
}
