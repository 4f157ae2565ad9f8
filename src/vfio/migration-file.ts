/**
 * The two kinds of data file (data_fd) of a migration. Both belong to the machine that made them: closing one changes nothing;
 * the machine disables it when the device leaves the state, and from then on it answers ENODEV.
 */
import { Errno } from '../abi/errno.js';
import { VFIO_MIG_GET_PRECOPY_INFO, vfio_precopy_info } from '../abi/vfio.js';
import type { FileRequest, OpenFile } from '../kernfs/file.js';
import type { StateLoader } from './migration-loader.js';
import type { StreamSource } from './migration-source.js';

/** MigrationHooks.streamLimit() of all hooks together. */
export type StreamLimit = (position: number, size: number) => number;

const EMPTY = new Uint8Array(0);

abstract class DataFile {
  abstract readonly kind: string;
  readonly #device: string;
  protected disabled = false;

  /** `device`: its name, for traces. */
  constructor(device: string) {
    this.#device = device;
  }

  get label(): string {
    return `${this.kind} ${this.#device}`;
  }

  /** The device has left the state that this file belongs to. */
  disable(): void {
    this.disabled = true;
  }

  release(): void {
    // The machine still uses what was written or is left to read.
  }
}

/** From PRE_COPY, PRE_COPY_P2P or STOP_COPY until the device leaves these states. */
export class SavingFile extends DataFile implements OpenFile {
  readonly kind = 'migration-saving';
  readonly source: StreamSource;
  /** Bytes read so far. */
  #position = 0;
  readonly #limit: StreamLimit;

  constructor(device: string, source: StreamSource, limit: StreamLimit) {
    super(device);
    this.source = source;
    this.#limit = limit;
  }

  read(_request: FileRequest, _offset: number, size: number): Uint8Array {
    if (this.disabled) throw new Errno('ENODEV');
    if (size === 0) return EMPTY;
    const allowed = this.#limit(this.#position, size);
    if (allowed === 0) return EMPTY;
    const data = this.source.take(allowed);
    this.#position += data.length;
    return data;
  }

  write(): number {
    throw new Errno('EBADF');
  }

  /** The order of checks is that of samples/vfio-mdev/mtty.c: mtty_precopy_ioctl(). */
  ioctl(request: FileRequest, command: number, argument: bigint): number {
    if (command !== VFIO_MIG_GET_PRECOPY_INFO) throw new Errno('ENOTTY');
    const info = vfio_precopy_info.decode(request.caller.read(argument, vfio_precopy_info.size));
    if (info.argsz < vfio_precopy_info.size) throw new Errno('EINVAL');
    if (this.disabled || this.source.complete) throw new Errno('EINVAL');
    info.initial_bytes = BigInt(this.source.initialBytes);
    info.dirty_bytes = BigInt(this.source.dirtyBytes);
    request.caller.write(argument, vfio_precopy_info.encode(info));
    return 0;
  }
}

/** From STOP -> RESUMING until the device leaves RESUMING. */
export class ResumingFile extends DataFile implements OpenFile {
  readonly kind = 'migration-resuming';
  readonly loader: StateLoader;
  readonly #limit: StreamLimit;

  constructor(device: string, loader: StateLoader, limit: StreamLimit) {
    super(device);
    this.loader = loader;
    this.#limit = limit;
  }

  read(): Uint8Array {
    throw new Errno('EBADF');
  }

  /** A stream that was cut takes everything and keeps nothing, so that the loss shows when the device leaves RESUMING. */
  write(_request: FileRequest, _offset: number, data: Uint8Array): number {
    if (this.disabled) throw new Errno('ENODEV');
    if (data.length === 0) return 0;
    const allowed = this.#limit(this.loader.position, data.length);
    if (allowed === 0) return data.length;
    return this.loader.write(data.subarray(0, allowed));
  }
}
