/** A client of a MigrationMachine as the recording program is one of the kernel: states by number, one data file at a time. */
import { isErrno } from '../../src/abi/errno.js';
import type { Errno } from '../../src/abi/errno.js';
import {
  VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY, VFIO_MIG_GET_PRECOPY_INFO,
  vfio_precopy_info,
} from '../../src/abi/vfio.js';
import { checkHeader, encodeHeader, encodePorts, HEADER_SIZE, loadPorts, streamSize } from '../../src/drivers/mtty/stream.js';
import { Uart } from '../../src/drivers/mtty/uart.js';
import type { FileRequest, OpenFile } from '../../src/kernfs/file.js';
import { MigrationMachine } from '../../src/vfio/migration.js';
import type { MigratableDevice, MigrationOptions } from '../../src/vfio/migration.js';
import { migrationStateName, migrationStateNumber } from '../../src/vfio/migration-states.js';
import { FakeCaller, fakeRequest } from '../fakes/caller.js';

export const STATE = {
  STOP: VFIO_DEVICE_STATE_STOP, RUNNING: VFIO_DEVICE_STATE_RUNNING, STOP_COPY: VFIO_DEVICE_STATE_STOP_COPY,
  RESUMING: VFIO_DEVICE_STATE_RESUMING, RUNNING_P2P: VFIO_DEVICE_STATE_RUNNING_P2P, PRE_COPY: VFIO_DEVICE_STATE_PRE_COPY,
  PRE_COPY_P2P: VFIO_DEVICE_STATE_PRE_COPY_P2P,
} as const;

/** A card of one or two ports with the mtty driver's stream. */
export class FakeCard implements MigratableDevice {
  readonly uarts: readonly Uart[];

  constructor(ports = 1) {
    this.uarts = Array.from({ length: ports }, () => new Uart({ triggerInterrupt: () => undefined }));
  }

  get stateSize(): number {
    return streamSize(this.uarts.length);
  }
  header(): Uint8Array {
    return encodeHeader(this.uarts.length);
  }
  checkHeader(header: Uint8Array): void {
    checkHeader(header, this.uarts.length);
  }
  save(): Uint8Array {
    return Buffer.concat([this.header(), encodePorts(this.uarts)]);
  }
  load(state: Uint8Array): void {
    loadPorts(this.uarts, state);
  }
}

/** What a system call returned: a value, or -1 with an errno's name. */
export interface Outcome<T> {
  readonly errno: string;
  readonly value: T | undefined;
}

export function attempt<T>(call: () => T): Outcome<T> {
  try {
    return { errno: '0', value: call() };
  } catch (error) {
    if (!isErrno(error)) throw error;
    return { errno: error.code, value: undefined };
  }
}

export class MigrationClient {
  readonly machine: MigrationMachine;
  readonly card: FakeCard;
  readonly caller = new FakeCaller();
  readonly request = { ...fakeRequest(this.caller), removeSelf: () => true };
  /** The last data file that a transition gave. */
  file: OpenFile | undefined;

  constructor(ports = 1, options: MigrationOptions = {}) {
    this.card = new FakeCard(ports);
    this.machine = new MigrationMachine(this.card, options);
  }

  get stateName(): string {
    return migrationStateName(this.machine.getState());
  }

  /** Throws the errno; only for transitions that don't wait. */
  set(state: number): OpenFile | undefined {
    const file = this.machine.setState(this.request, state);
    if (file instanceof Promise) {
      file.catch(() => undefined);
      throw new Error('the transition waits');
    }
    if (file !== undefined) this.file = file;
    return file;
  }

  async setWaiting(state: number, request: FileRequest = this.request): Promise<OpenFile | undefined> {
    const file = await this.machine.setState(request, state);
    if (file !== undefined) this.file = file;
    return file;
  }

  /** From RUNNING to the named state, by the shortest way. */
  reach(name: string): void {
    this.machine.reset();
    this.file = undefined;
    const state = migrationStateNumber(name);
    if (state === undefined) throw new Error(`no state ${name}`);
    if (state !== STATE.RUNNING) this.set(state);
  }

  read(size = 4096, file = this.file): Uint8Array {
    const data = file?.read?.(this.request, 0, size);
    if (!(data instanceof Uint8Array)) throw new Error('no data file');
    return data;
  }

  write(data: Uint8Array, file = this.file): number {
    const written = file?.write?.(this.request, 0, data);
    if (typeof written !== 'number') throw new Error('no data file');
    return written;
  }

  /** Reads to the end. */
  drain(chunk = 4096): Buffer {
    const parts: Uint8Array[] = [];
    for (let data = this.read(chunk); data.length > 0; data = this.read(chunk)) parts.push(data.slice());
    return Buffer.concat(parts);
  }

  /** The whole state through STOP_COPY; RUNNING again afterwards. */
  saveAll(): Buffer {
    this.reach('STOP_COPY');
    const data = this.drain();
    this.reach('RUNNING');
    return data;
  }

  precopyInfo(argsz = 24, flags = 0, file = this.file): { initial_bytes: number; dirty_bytes: number } {
    const asked = vfio_precopy_info.encode({ argsz, flags, initial_bytes: 0x1111n, dirty_bytes: 0x2222n });
    const address = this.caller.allocate(asked);
    const result = file?.ioctl?.(this.request, VFIO_MIG_GET_PRECOPY_INFO, address);
    if (result instanceof Promise) throw new Error('PRECOPY_INFO waits');
    const info = vfio_precopy_info.decode(this.caller.read(address, vfio_precopy_info.size));
    return { initial_bytes: Number(info.initial_bytes), dirty_bytes: Number(info.dirty_bytes) };
  }
}

/** Runs `call` and returns the errno it throws, or undefined. */
export function errnoOf(call: () => unknown): Errno['code'] | undefined {
  const { errno } = attempt(call);
  return errno === '0' ? undefined : (errno as Errno['code']);
}

export { HEADER_SIZE };
