/**
 * The migration protocol v2 of one device, as QEMU drives it. Source: hw/vfio/migration.c: vfio_migration_set_state(),
 * vfio_migration_set_state_or_reset(), vfio_query_stop_copy_size(), vfio_query_precopy_size().
 */
import { ERRNO, Errno, isErrno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, VFIO_DEVICE_RESET, VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RUNNING, VFIO_MIGRATION_PRE_COPY,
  VFIO_MIG_GET_PRECOPY_INFO, vfio_device_feature_mig_data_size, vfio_device_feature_mig_state, vfio_precopy_info,
} from '../../abi/vfio.js';
import { Fd } from '../../sys/fd.js';
import { ioctlFd, readFd, writeFd } from '../../sys/io.js';
import { strerror } from '../../sys/strerror.js';
import { DeviceLoader } from '../migration/vfio-load.js';
import { DeviceSaver } from '../migration/vfio-save.js';
import type { MigrationStatistics } from '../migration/statistics.js';
import type { MigrationSide, PrecopyInfo, VfioMigration, VfioPciDevice } from '../vm/device.js';
import { isLost, VfioError } from '../vm/device.js';
import { stateName } from './device-states.js';
import { deviceFeature, vfioIoctl } from './ioctl.js';

export interface MigrationObserver {
  /** Before the ioctl of a transition. */
  preparing(from: number, to: number): void;
  /** The cached state has changed. */
  changed(state: number): void;
  /** A transition that the VM's start or stop asked for has failed; the device was reset. */
  failed(error: VfioError): void;
  log(message: string): void;
  /** The device can't even be reset: hw_error(). */
  abort(message: string): never;
  /** isLost(): there is no device behind the descriptor any more. */
  lost(): never;
}

export class DeviceMigration implements VfioMigration, MigrationSide {
  readonly flags: number;
  readonly #fd: number;
  readonly #name: string;
  readonly #observer: MigrationObserver;
  #state = VFIO_DEVICE_STATE_RUNNING;
  #data: Fd | undefined;

  constructor(fd: number, name: string, flags: number, observer: MigrationObserver) {
    this.#fd = fd;
    this.#name = name;
    this.flags = flags;
    this.#observer = observer;
  }

  get hasPreCopy(): boolean {
    return (this.flags & VFIO_MIGRATION_PRE_COPY) !== 0;
  }
  get deviceState(): number {
    return this.#state;
  }
  get stateName(): string {
    return stateName(this.#state);
  }
  get inPreCopy(): boolean {
    return this.#state === VFIO_DEVICE_STATE_PRE_COPY || this.#state === VFIO_DEVICE_STATE_PRE_COPY_P2P;
  }
  get hasData(): boolean {
    return this.#data !== undefined;
  }

  setState(state: number, recover: number): void {
    if (state === this.#state) return;
    this.#observer.preparing(this.#state, state);
    let dataFd: number;
    try {
      dataFd = this.#request(state);
    } catch (error) {
      throw this.#recover(state, recover, errnoOf(error));
    }
    this.#enter(state);
    if (dataFd < 0) return;
    if (this.#data !== undefined) {
      new Fd(dataFd).close();
      throw new VfioError(`${this.#name}: data_fd out of sync`, ERRNO.EBADF);
    }
    this.#data = new Fd(dataFd);
  }

  setStateOrReset(state: number): void {
    try {
      this.setState(state, VFIO_DEVICE_STATE_ERROR);
    } catch (error) {
      if (!(error instanceof VfioError)) throw error;
      this.#observer.failed(error);
    }
  }

  outgoing(device: VfioPciDevice, index: number, statistics: MigrationStatistics): DeviceSaver {
    return new DeviceSaver(device, this, index, statistics);
  }

  incoming(device: VfioPciDevice): DeviceLoader {
    return new DeviceLoader(device, this);
  }

  dataSize(): bigint {
    return deviceFeature(this.#fd, 'get', VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, vfio_device_feature_mig_data_size).stop_copy_length;
  }

  precopyInfo(): PrecopyInfo {
    const { initial_bytes, dirty_bytes } = vfioIoctl(this.#dataFd(), VFIO_MIG_GET_PRECOPY_INFO, vfio_precopy_info);
    return { initialBytes: initial_bytes, dirtyBytes: dirty_bytes };
  }

  /** Waits for the device, as QEMU's main loop does in a completion and on the destination; a worker thread costs more. */
  read(buffer: Uint8Array): number {
    return taken(readFd(this.#dataFd(), buffer, buffer.length), 'read');
  }

  write(data: Uint8Array): void {
    for (let done = 0; done < data.length;) {
      const count = taken(writeFd(this.#dataFd(), data.subarray(done), data.length - done), 'write');
      if (count === 0) throw new Errno('EIO', 'nothing was taken');
      done += count;
    }
  }

  closeData(): void {
    this.#data?.close();
    this.#data = undefined;
  }

  /** VFIO_DEVICE_RESET, which leaves the device RUNNING whatever it was. Throws Errno. */
  reset(): void {
    ioctlFd(this.#fd, VFIO_DEVICE_RESET, null);
    this.#enter(VFIO_DEVICE_STATE_RUNNING);
  }

  #dataFd(): number {
    if (this.#data === undefined) throw new Errno('EBADF', 'no data_fd');
    return this.#data.fd;
  }

  /** Returns the new data_fd, or -1. */
  #request(state: number): number {
    return deviceFeature(this.#fd, 'set', VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, vfio_device_feature_mig_state, {
      device_state: state, data_fd: -1,
    }).data_fd;
  }

  #enter(state: number): void {
    this.#state = state;
    this.#observer.changed(state);
  }

  /** What setState() throws. */
  #recover(state: number, recover: number, errno: number): VfioError {
    if (isLost(errno)) this.#observer.lost();
    const failed = `${this.#name}: Failed setting device state to ${stateName(state)}.`;
    const reason = strerror(errno);
    if (recover === VFIO_DEVICE_STATE_ERROR) {
      this.#resetOrDie();
      return new VfioError(`${failed} Recover state is ERROR. Resetting device: ${reason}`, errno);
    }
    const error = new VfioError(`${failed} Setting device in recover state ${stateName(recover)}: ${reason}`, errno);
    this.#observer.preparing(this.#state, recover);
    try {
      this.#request(recover);
    } catch (second) {
      const why = strerror(errnoOf(second));
      this.#observer.log(`${this.#name}: Failed setting device in recover state, err: ${why}. Resetting device`);
      this.#resetOrDie();
      return error;
    }
    this.#enter(recover);
    return error;
  }

  #resetOrDie(): void {
    try {
      this.reset();
    } catch (error) {
      this.#observer.abort(`${this.#name}: Failed resetting device, err: ${strerror(errnoOf(error))}`);
    }
  }
}

/** A count of bytes. Throws the errno that stands there instead. */
function taken(result: number, what: string): number {
  if (result < 0) throw Errno.fromNumber(-result, what);
  return result;
}

function errnoOf(error: unknown): number {
  if (isErrno(error)) return error.errno;
  throw error;
}
