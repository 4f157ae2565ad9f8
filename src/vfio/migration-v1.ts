/**
 * MigrationRegionV1: the region through which a device migrates in version 1 of the protocol: struct
 * vfio_device_migration_info at its beginning, and a data section. Source: include/uapi/linux/vfio.h of Linux 5.8 to 5.17.
 *
 * An adapter: the states are those of the device's MigrationMachine, and the data section shows piece by piece what its data
 * files hold. So whatever watches the machine (policies, faults, events) works here too. A read of pending_bytes is for the machine a
 * question for the size of the state, which is what is nearest to VFIO_DEVICE_FEATURE_MIG_DATA_SIZE.
 */
import { Errno, isErrno } from '../abi/errno.js';
import { u32, u64 } from '../abi/layout.js';
import type { FieldType } from '../abi/layout.js';
import {
  VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_V1_SAVING, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
  VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED, VFIO_REGION_TYPE_MIGRATION_DEPRECATED,
  vfio_device_migration_info,
} from '../abi/vfio.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import type { DeviceRegion } from './device-region.js';
import type { MigrationMachine } from './migration.js';
import { isStateSupported } from './migration-arcs.js';
import { ResumingFile, SavingFile } from './migration-file.js';
import { fromMachineState, mayFollow, toMachineState } from './migration-v1-states.js';

const INFO = vfio_device_migration_info.fields;
/** Where the data section begins in the region; a page for the struct. */
const DATA_OFFSET = 4096;
/** Bytes that a client gets or gives at a time. Old QEMU moves them eight by eight, and can't be cancelled meanwhile. */
const DATA_SIZE = 64 << 10;
const EMPTY = new Uint8Array(0);

/** Its owner tells it of the machine's states: entered(). */
export class MigrationRegionV1 implements DeviceRegion {
  readonly type = VFIO_REGION_TYPE_MIGRATION_DEPRECATED;
  readonly subtype = VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED;
  readonly size = DATA_OFFSET + DATA_SIZE;
  readonly flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  readonly #machine: MigrationMachine;
  /** The machine's data file, to which the data section belongs. */
  #file: SavingFile | ResumingFile | undefined;
  /** The data section: of saved data what the client is to read, while resuming what it has written. */
  #data: Uint8Array = EMPTY;
  /** Since the client last asked for pending_bytes it was told of the piece in the data section, or of the stream's end. */
  #offered = false;
  /** How much of the piece it has read. */
  #taken = 0;
  /** Pre-copy of a device that has not got it: the protocol demands that everybody can. The machine is in RUNNING. */
  #pretended = false;

  constructor(machine: MigrationMachine) {
    this.#machine = machine;
  }

  /** VFIO_DEVICE_STATE_V1_* bits. */
  get deviceState(): number {
    return fromMachineState(this.#machine.getState()) | (this.#pretended ? VFIO_DEVICE_STATE_V1_SAVING : 0);
  }

  /** The machine is in another state, or was reset. What is in the data section goes with its file. */
  entered(): void {
    const { dataFile } = this.#machine;
    if (dataFile === undefined) this.#pretended = false;
    if (dataFile === this.#file) return;
    this.#file = dataFile;
    this.#drop();
  }

  /** Last close of the device: the machine's files are gone. */
  close(): void {
    this.entered();
  }

  /** A field of the struct has its own width and is read whole. Throws EINVAL, or the errno of reading the data file. */
  read(request: FileRequest, offset: number, length: number): Uint8Array {
    if (offset >= DATA_OFFSET) return this.#readData(offset - DATA_OFFSET, length);
    switch (fieldAt(offset, length)) {
      case INFO.device_state: return encode(u32, this.deviceState);
      case INFO.pending_bytes: return encode(u64, BigInt(this.#pendingBytes()));
      case INFO.data_offset:
        this.#offer(request);
        return encode(u64, BigInt(DATA_OFFSET));
      case INFO.data_size:
        this.#offer(request);
        return encode(u64, BigInt(this.#file instanceof SavingFile ? this.#data.length : 0));
      default: return new Uint8Array(length);
    }
  }

  /** Throws EINVAL, what setting a state throws, or the errno of writing the data file. */
  write(request: FileRequest, offset: number, data: Uint8Array): Awaitable<void> {
    if (offset >= DATA_OFFSET) return this.#writeData(offset - DATA_OFFSET, data);
    switch (fieldAt(offset, data.length)) {
      case INFO.device_state: return this.#setState(request, decode(u32, data));
      case INFO.data_size: return this.#load(request, decode(u64, data));
      case INFO.reserved: return undefined;
      default: throw new Errno('EINVAL', 'a read-only field');
    }
  }

  #setState(request: FileRequest, state: number): Awaitable<void> {
    if (!mayFollow(this.deviceState, state)) throw new Errno('EINVAL', `no way to state ${state}`);
    const target = toMachineState(state);
    if (!isStateSupported(target, this.#machine.flags) && this.#machine.getState() === VFIO_DEVICE_STATE_RUNNING) {
      if (!this.#pretended) this.#machine.admit(target);
      this.#pretended = true;
      return undefined;
    }
    return this.#move(request, target);
  }

  async #move(request: FileRequest, target: number): Promise<void> {
    const pretended = this.#pretended;
    try {
      await this.#machine.setStateOrReturn(request, target);
      this.#pretended = false;
      this.#offerAnew();
    } catch (error) {
      this.#pretended = pretended && this.#machine.getState() === VFIO_DEVICE_STATE_RUNNING;
      throw error;
    }
  }

  /** Nobody need read everything before the next state: a piece that was not read to its end is still to come. */
  #offerAnew(): void {
    if (!(this.#file instanceof SavingFile)) return;
    if (this.#taken >= this.#data.length) this.#drop();
    this.#offered = false;
    this.#taken = 0;
  }

  /** What is left after the piece that the client was told of: asking is the sign that it has it. */
  #pendingBytes(): number {
    this.#machine.dataSize();
    if (!(this.#file instanceof SavingFile)) return 0;
    const { source } = this.#file;
    // A stream that was cut has bytes left that nobody gets.
    const ended = source.complete && this.#offered && this.#data.length === 0;
    if (this.#offered) this.#drop();
    this.#offered = ended;
    return ended ? 0 : this.#data.length + source.pendingBytes;
  }

  /** Makes the next piece of saved data, once until pending_bytes is read. */
  #offer(request: FileRequest): void {
    if (!(this.#file instanceof SavingFile) || this.#offered) return;
    if (this.#data.length === 0) this.#data = readOn(this.#file, request);
    this.#offered = true;
  }

  #readData(offset: number, length: number): Uint8Array {
    if (offset + length > this.#data.length) throw new Errno('EINVAL', 'no data there');
    this.#taken = Math.max(this.#taken, offset + length);
    return this.#data.subarray(offset, offset + length);
  }

  #writeData(offset: number, data: Uint8Array): void {
    if (!(this.#file instanceof ResumingFile)) throw new Errno('EINVAL', 'not resuming');
    if (this.#data.length === 0) this.#data = new Uint8Array(DATA_SIZE);
    this.#data.set(data, offset);
  }

  /** data_size was written: that much of the data section belongs to the stream. */
  #load(request: FileRequest, size: bigint): void {
    if (!(this.#file instanceof ResumingFile) || size > BigInt(this.#data.length)) throw new Errno('EINVAL', 'data_size');
    const data = this.#data.subarray(0, Number(size));
    this.#data = EMPTY;
    this.#file.write(request, 0, data);
  }

  #drop(): void {
    this.#data = EMPTY;
    this.#offered = false;
    this.#taken = 0;
  }
}

/** As much as fits into the data section. In pre-copy ENOMSG says that there is nothing for now. */
function readOn(file: SavingFile, request: FileRequest): Uint8Array {
  try {
    return file.read(request, 0, DATA_SIZE);
  } catch (error) {
    if (isErrno(error, 'ENOMSG')) return EMPTY;
    throw error;
  }
}

type Field = (typeof INFO)[keyof typeof INFO];

/** Throws EINVAL for an access that is not one whole field. */
function fieldAt(offset: number, length: number): Field {
  const found = Object.values(INFO).find((field) => field.offset === offset && field.size === length);
  if (found === undefined) throw new Errno('EINVAL', 'not a field');
  return found;
}

function encode<T>(type: FieldType<T>, value: T): Uint8Array {
  const data = new Uint8Array(type.size);
  type.set(new DataView(data.buffer), 0, value);
  return data;
}

function decode<T>(type: FieldType<T>, data: Uint8Array): T {
  return type.get(new DataView(data.buffer, data.byteOffset, data.byteLength), 0);
}
