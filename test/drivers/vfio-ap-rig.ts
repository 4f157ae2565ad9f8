/** A machine in memory with the vfio_ap driver: attributes by path, mdevs, and clients that open their devices. */
import assert from 'node:assert/strict';
import { isErrno } from '../../src/abi/errno.js';
import { Machine } from '../../src/device/machine.js';
import type { ApHostOptions } from '../../src/drivers/vfio-ap/ap-host.js';
import type { VfioApOptions } from '../../src/drivers/vfio-ap/index.js';
import { createVfioApDriver } from '../../src/drivers/vfio-ap/index.js';
import { VfioApDevice } from '../../src/drivers/vfio-ap/device.js';
import type { OpenFile } from '../../src/kernfs/file.js';
import { readAttribute, writeAttribute } from '../../src/lab/attributes.js';
import { MdevCore } from '../../src/mdev/core.js';
import type { MdevDevice } from '../../src/mdev/device.js';
import type { MdevRegistration } from '../../src/mdev/registration.js';
import { Vfio } from '../../src/vfio/registrar.js';
import { FakeCaller, fakeRequest } from '../fakes/caller.js';

export const TYPE = 'vfio_ap-passthrough';
export const uuid = (n: number): string => `83b8f4f2-509f-382f-3c1e-e6bfe0fa10${String(n).padStart(2, '0')}`;

/** Two adapters and two domains, all of them free for guests. */
export const FREE: ApHostOptions = { adapters: [5, 6], domains: [4, 0xab], apmask: 0n };

export class Rig {
  readonly core = new MdevCore(new Machine(), new Vfio());
  readonly registration: MdevRegistration;

  constructor(options: VfioApOptions = { ap: FREE }) {
    this.registration = this.core.registerDriver(createVfioApDriver(options));
  }

  get klog(): readonly string[] {
    return this.core.machine.klog.lines;
  }

  /** A new mdev, `n` of its UUID. */
  create(n = 1): Guest {
    return new Guest(this, this.core.create(this.registration.type(TYPE), uuid(n)));
  }

  read(path: string): Promise<string> {
    return readAttribute(this.core.machine.root, `sys/${path}`);
  }

  /** `0`, or the errno that the write ends with. */
  async write(path: string, text: string): Promise<string> {
    try {
      await writeAttribute(this.core.machine.root, `sys/${path}`, text);
      return '0';
    } catch (error) {
      if (!isErrno(error)) throw error;
      return error.code;
    }
  }
}

/** An mdev, and perhaps a client that has it open. */
export class Guest {
  readonly caller = new FakeCaller();
  readonly device: VfioApDevice;

  constructor(readonly rig: Rig, readonly mdev: MdevDevice) {
    const vfio = mdev.instance?.vfio;
    assert.ok(vfio instanceof VfioApDevice);
    this.device = vfio;
  }

  path(attribute: string): string {
    return `${this.mdev.path.slice(1)}/${attribute}`;
  }
  read(attribute: string): Promise<string> {
    return this.rig.read(this.path(attribute));
  }
  write(attribute: string, text: string): Promise<string> {
    return this.rig.write(this.path(attribute), text);
  }

  /** Writes that must succeed: `assign_adapter 5`. */
  async do(...lines: readonly string[]): Promise<this> {
    for (const line of lines) {
      const [attribute = '', value = ''] = line.split(' ');
      assert.equal(await this.write(attribute, `${value}\n`), '0', line);
    }
    return this;
  }

  open(): this {
    this.device.openDevice();
    return this;
  }
  close(): void {
    this.device.closeDevice();
  }

  /** MIG_DEVICE_STATE: the new data file, or the errno. */
  async set(state: number): Promise<OpenFile | string | undefined> {
    try {
      return await this.device.migration.setState(fakeRequest(this.caller), state);
    } catch (error) {
      if (!isErrno(error)) throw error;
      return error.code;
    }
  }

  /** As set(); throws where there is no data file. */
  async stream(state: number): Promise<OpenFile> {
    const file = await this.set(state);
    if (file === undefined || typeof file === 'string') throw new Error(`no data file: ${file ?? 'none'}`);
    return file;
  }

  /** An ioctl on a copy of `argument`: the errno and the bytes that it leaves there. */
  async ioctl(command: number, argument: Uint8Array): Promise<{ errno: string; bytes: Uint8Array }> {
    const address = this.caller.allocate(argument);
    const errno = await this.raw(command, address);
    return { errno, bytes: this.caller.read(address, argument.length) };
  }

  async raw(command: number, address: bigint): Promise<string> {
    try {
      assert.equal(await this.device.ioctl(fakeRequest(this.caller), command, address), 0);
      return '0';
    } catch (error) {
      if (!isErrno(error)) throw error;
      return error.code;
    }
  }
}

export async function readAll(file: OpenFile): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const data = await file.read?.(fakeRequest(), 0, 4096);
    if (data === undefined || data.length === 0) return Buffer.concat(parts);
    parts.push(data.slice());
  }
}

/** Bytes taken, or the errno. */
export async function writeTo(file: OpenFile, data: Uint8Array): Promise<number | string> {
  try {
    return (await file.write?.(fakeRequest(), 0, data)) ?? 0;
  } catch (error) {
    if (!isErrno(error)) throw error;
    return error.code;
  }
}
