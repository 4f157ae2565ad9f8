/**
 * Lab: one fake machine, mounted. The library's entry point.
 *
 *   const lab = await Lab.temporary();
 *   const device = lab.createDevice({ type: 'mtty-1' });
 *   await lab.run(['sh', '-c', `echo 1 > /sys/bus/mdev/devices/${device.uuid}/migration_block`]);
 *   await lab.unmount();
 *
 * The lab is served by this process's event loop: never touch the mount with synchronous calls (fs.readFileSync) from the
 * same process, they would wait for themselves. Use the device's own methods, fs.promises, or another process.
 */
import { mkdtempSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mount, MountOptions, MountStats } from '../../mount/mount.js';
import { mountTree } from '../../mount/mount.js';
import { Errno } from '../abi/errno.js';
import { accident } from '../drivers/simple/guard.js';
import type { MdevCore } from '../mdev/core.js';
import type { MdevDevice } from '../mdev/device.js';
import { removeEmptyDirectory } from '../sys/directory.js';
import type { UeventAudience } from '../uevents/audience.js';
import { UeventSocket } from '../uevents/uevent-socket.js';
import { readAttribute, writeAttribute } from './attributes.js';
import { buildMachine, loadDrivers } from './build.js';
import type { LabConfiguration } from './build.js';
import { LabDevice, watchDevice } from './device.js';
import type { LabDeviceOwner } from './device.js';
import { LabEvents } from './events.js';
import type { LabEventOf, LabEventType, LabListener } from './events.js';
import { runIn, spawnIn } from './run.js';
import type { RunOptions, RunResult, SpawnOptions } from './run.js';
import { settingsOf, showSettings } from './settings-file.js';
import { allTypes, createDevice, setUpDevices } from './setup.js';
import type { DeviceRequest, DeviceSetup, Report, SetupProblem } from './setup.js';

export interface LabOptions extends LabConfiguration, MountOptions {
  /** Devices to create before the lab is mounted. */
  readonly devices?: readonly DeviceSetup[];
  /** Send uevents in this thread's network namespace, and to whom. Default: the lab's own listeners only. */
  readonly uevents?: UeventAudience;
  /** Makes one error of all that the machine refused; default: the first one's. A lab file has it (config/load.ts). */
  readonly explain?: (problems: readonly SetupProblem[]) => Error;
}

export interface TypeInfo {
  readonly name: string;
  readonly parent: string;
  readonly deviceApi: string;
  /** How many more can be created now. */
  readonly available: number;
}

export class Lab {
  readonly #core: MdevCore;
  readonly #events: LabEvents;
  readonly #devices = new Map<string, LabDevice>();
  readonly #mount: Mount;
  readonly #owner: LabDeviceOwner = {
    has: (mdev) => this.#core.devices.get(mdev.uuid) === mdev,
    remove: async (mdev) => this.#core.remove(mdev),
  };

  private constructor(core: MdevCore, events: LabEvents, mount: Mount) {
    this.#core = core;
    this.#events = events;
    this.#mount = mount;
  }

  /**
   * Builds the machine and mounts it on an empty directory. Throws MountError (no /dev/fuse, no privilege, no empty directory),
   * Errno or RangeError (unknown driver or type, a UUID that exists, none available, uevents that may not be sent).
   */
  static async mount(dir: string, options: LabOptions = {}): Promise<Lab> {
    const problems: SetupProblem[] = [];
    const report: Report = (path, error) => void problems.push({ path, error: withPlace(error) });
    const loaded = await loadDrivers(options, report);
    const core = buildMachine(problems.length === 0 ? loaded : { drivers: [] }, report);
    // Without its drivers every device would be one more error.
    if (problems.length === 0) await setUpDevices(core, options.devices ?? [], report);
    const [first] = problems;
    if (first !== undefined) throw options.explain?.(problems) ?? first.error;
    showSettings(core, settingsOf(options));
    const sender = options.uevents === undefined ? undefined : new UeventSocket(options.uevents);
    try {
      const lab = new Lab(core, new LabEvents(), await mountTree(core.machine.tree, dir, options));
      lab.#watch(sender);
      return lab;
    } catch (error) {
      sender?.close();
      throw error;
    }
  }

  /** The same on a directory of its own below $TMPDIR, which goes when the lab ends. */
  static async temporary(options: LabOptions = {}): Promise<Lab> {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-'));
    try {
      return await Lab.mount(dir, { ...options, removeDirectory: true });
    } catch (error) {
      removeEmptyDirectory(dir);
      throw error;
    }
  }

  /** Absolute path of the mount. */
  get dir(): string {
    return this.#mount.dir;
  }
  /** All devices, oldest first; those that wait for their last client to be gone too. */
  get devices(): LabDevice[] {
    return [...this.#core.devices.values()].map((mdev) => this.#deviceOf(mdev));
  }
  /** What can be created, on every parent. */
  get types(): TypeInfo[] {
    return allTypes(this.#core).map((type) => ({
      name: type.name, parent: type.parent.name, deviceApi: type.description.deviceApi, available: type.availableInstances,
    }));
  }
  /** Names of the parent devices. */
  get parents(): string[] {
    return [...this.#core.registrations.values()].flatMap(({ parents }) => parents.map(({ name }) => name));
  }
  /** The kernel log's newest lines. */
  get klog(): readonly string[] {
    return this.#core.machine.klog.lines;
  }
  /** Resolves with the reason when the lab is no longer mounted, whoever ended it. */
  get ended(): Promise<string> {
    return this.#mount.ended;
  }
  /** Numbers about the mount, for tests and diagnosis. */
  get stats(): MountStats {
    return this.#mount.stats();
  }

  /** Throws ENODEV (no such type or parent), EINVAL (not a UUID), EEXIST, ENOSPC. */
  createDevice(request: DeviceRequest): LabDevice {
    return this.#deviceOf(createDevice(this.#core, request));
  }

  /** The device with that UUID, in any case; undefined where there is none. */
  device(uuid: string): LabDevice | undefined {
    const mdev = this.#core.devices.get(uuid.toLowerCase());
    return mdev === undefined ? undefined : this.#deviceOf(mdev);
  }

  /** Any attribute, `sys/bus/mdev/drivers_autoprobe`; the path must not lead through symbolic links. Throws the errno. */
  read(path: string): Promise<string> {
    return readAttribute(this.#core.machine.root, path);
  }
  /** One write(2) to any attribute. Throws the errno. */
  write(path: string, data: string | Uint8Array, signal?: AbortSignal): Promise<void> {
    return writeAttribute(this.#core.machine.root, path, data, signal);
  }

  /** Calls `listener` synchronously for each event, in order. Returns the function that ends it. */
  on(listener: LabListener): () => void {
    return this.#events.subscribe(listener);
  }
  /** The next event of that type that `accept` takes. Rejects when `signal` is aborted, and when the lab ends. */
  next<T extends LabEventType>(
    type: T, accept?: (event: LabEventOf<T>) => boolean, signal?: AbortSignal,
  ): Promise<LabEventOf<T>> {
    return this.#events.next(type, accept, signal);
  }

  /**
   * Starts a program where the lab is part of /sys and /dev, as `mdevsim run` does. It is the caller's: to be waited for, or killed
   * by its signal. Errors as of node:child_process.
   */
  spawn(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawnIn(this.dir, argv, options);
  }
  /** The same, until it ends. Any exit status is a result; rejects where it could not start, and when `signal` is aborted. */
  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runIn(this.dir, argv, options);
  }

  /** Resolves when the kernel's caches know of every change so far: then other processes see it. */
  settled(): Promise<void> {
    return this.#mount.settled();
  }
  /** Ends the lab; clients get errors from now on. Idempotent. */
  unmount(): Promise<void> {
    return this.#mount.unmount();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.unmount();
  }

  #watch(sender: UeventSocket | undefined): void {
    const { machine } = this.#core;
    const unsubscribe = sender === undefined ? undefined : machine.uevents.subscribe((event) => sender.send(event));
    void this.#mount.ended.then((reason) => {
      unsubscribe?.();
      sender?.close();
      this.#events.end(`the lab has ended: ${reason}`);
    });
    const events = this.#events;
    for (const mdev of this.#core.devices.values()) watchDevice(mdev, events);
    this.#core.subscribe(({ kind, device }) => {
      if (kind === 'created') watchDevice(device, events);
      if (kind === 'removed') this.#devices.delete(device.uuid);
      events.emit({ type: 'device', change: kind, uuid: device.uuid });
    });
    machine.uevents.subscribe(({ action, devpath, subsystem, env }) => {
      events.emit({ type: 'uevent', action, devpath, subsystem, env });
    });
    machine.klog.observer = (message) => events.emit({ type: 'klog', message });
  }

  #deviceOf(mdev: MdevDevice): LabDevice {
    const known = this.#devices.get(mdev.uuid);
    if (known !== undefined) return known;
    const made = new LabDevice(mdev, this.#owner);
    this.#devices.set(mdev.uuid, made);
    return made;
  }
}

/** An exception that nobody meant: a user's driver threw it, so its message says where. */
function withPlace(error: unknown): unknown {
  return error instanceof Errno || error instanceof RangeError ? error : new Error(accident(error), { cause: error });
}
