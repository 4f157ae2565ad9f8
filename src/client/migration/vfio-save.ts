/** One device of an outgoing migration. Source: QEMU's hw/vfio/migration.c: vfio_save_setup() ... vfio_save_cleanup(). */
import { isErrno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY,
} from '../../abi/vfio.js';
import { bigBuffer } from '../../sys/big-buffer.js';
import type { OutgoingDevice } from './device-side.js';
import { errorText } from './error-text.js';
import { VfioError } from '../vm/device.js';
import type { VfioMigration, VfioPciDevice } from '../vm/device.js';
import type { MigrationStatistics } from './statistics.js';
import type { StreamWriter } from './stream-writer.js';
import { checkMultifd } from './vfio-multifd.js';

/** QEMU's VFIO_MIG_DEFAULT_DATA_BUFFER_SIZE, bytes. */
const BUFFER_SIZE = 1 << 20;
/** What is assumed where the device does not tell, bytes: QEMU's VFIO_MIG_STOP_COPY_SIZE. */
const UNKNOWN_SIZE = 100 * 2 ** 30;

export class DeviceSaver implements OutgoingDevice {
  readonly #device: VfioPciDevice;
  readonly #migration: VfioMigration;
  readonly #statistics: MigrationStatistics;
  readonly #index: number;
  #buffer: Uint8Array = new Uint8Array(0);
  #initialBytes = 0;
  #dirtyBytes = 0;

  /** `index`: its place in the stream's configuration. */
  constructor(device: VfioPciDevice, migration: VfioMigration, index: number, statistics: MigrationStatistics) {
    this.#device = device;
    this.#migration = migration;
    this.#statistics = statistics;
    this.#index = index;
  }

  get #inPrecopy(): boolean {
    const { deviceState } = this.#migration;
    return deviceState === VFIO_DEVICE_STATE_PRE_COPY || deviceState === VFIO_DEVICE_STATE_PRE_COPY_P2P;
  }

  /** vfio_save_setup(). Throws VfioError. */
  setup(): void {
    checkMultifd(this.#device);
    const size = Math.min(BUFFER_SIZE, this.#stopCopySize(BUFFER_SIZE));
    if (size === 0) throw new VfioError(`${this.#device.name}: Failed to allocate migration data buffer`);
    // Touched now: the first read may find the machine stopped.
    this.#buffer = size < BUFFER_SIZE ? new Uint8Array(size) : bigBuffer(size).fill(0);
    if (!this.#migration.hasPreCopy) return;
    switch (this.#migration.deviceState) {
      case VFIO_DEVICE_STATE_RUNNING:
        this.#migration.setState(VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_RUNNING);
        this.#queryPrecopy();
        return;
      case VFIO_DEVICE_STATE_STOP: return;
      default: throw new VfioError(`${this.#device.name}: Invalid device state ${this.#migration.deviceState}`);
    }
  }

  /** vfio_state_pending_estimate(): bytes, without asking the device. */
  get pendingEstimate(): number {
    return this.#inPrecopy ? this.#initialBytes + this.#dirtyBytes : 0;
  }

  /** vfio_state_pending_exact(): bytes. */
  pendingExact(): number {
    const size = this.#stopCopySize(UNKNOWN_SIZE);
    if (this.#inPrecopy) this.#queryPrecopy();
    return size;
  }

  /** vfio_save_iterate(), where vfio_is_active_iterate(). Rejects with Errno. */
  async iterate(writer: StreamWriter): Promise<void> {
    if (!this.#inPrecopy) return;
    const size = await this.#saveBlock(writer);
    if (size === 0) this.#initialBytes = this.#dirtyBytes = 0;
    else if (this.#initialBytes > 0) this.#initialBytes = Math.max(0, this.#initialBytes - size);
    else this.#dirtyBytes = Math.max(0, this.#dirtyBytes - size);
  }

  /** vfio_save_complete_precopy(): everything. Rejects with VfioError, Errno. */
  async complete(writer: StreamWriter): Promise<void> {
    this.#migration.setState(VFIO_DEVICE_STATE_STOP_COPY, VFIO_DEVICE_STATE_STOP);
    while (await this.#saveBlock(writer) > 0);
  }

  /** vfio_save_state() */
  async config(writer: StreamWriter): Promise<void> {
    await writer.deviceRecord('deviceConfig', this.#index, this.#device.saveConfig());
  }

  /** vfio_save_cleanup() */
  cleanup(): void {
    if (this.#migration.deviceState === VFIO_DEVICE_STATE_STOP_COPY) this.#migration.setStateOrReset(VFIO_DEVICE_STATE_STOP);
    this.#buffer = new Uint8Array(0);
    this.#initialBytes = this.#dirtyBytes = 0;
    this.#migration.closeData();
  }

  #stopCopySize(otherwise: number): number {
    try {
      return Number(this.#migration.dataSize());
    } catch {
      return otherwise;
    }
  }

  #queryPrecopy(): void {
    this.#initialBytes = this.#dirtyBytes = 0;
    try {
      const { initialBytes, dirtyBytes } = this.#migration.precopyInfo();
      this.#initialBytes = Number(initialBytes);
      this.#dirtyBytes = Number(dirtyBytes);
    } catch { /* Taken as nothing, as QEMU does. */ }
  }

  /** One block; 0 at the end of the device's data, or where a device in PRE_COPY has nothing for now. */
  async #saveBlock(writer: StreamWriter): Promise<number> {
    const size = this.#read();
    if (size === 0) return 0;
    await writer.deviceRecord('deviceData', this.#index, this.#buffer.subarray(0, size));
    this.#statistics.vfioTransferred += size;
    return size;
  }

  #read(): number {
    try {
      return this.#migration.read(this.#buffer);
    } catch (error) {
      if (isErrno(error, 'ENOMSG')) return 0;
      throw isErrno(error) ? new VfioError(`Channel error: ${errorText(error)}`, error.errno) : error;
    }
  }
}
