/**
 * One device of an outgoing migration as the RFC proposed it: nothing while the machine runs; then stopped, and its region as it
 * is, with what is in front of it in the RFC's own stream: BARs and MSI. Source: hw/vfio/pci.c: vfio_put of vfio_vmstate_info.
 */
import { bigBuffer } from '../../sys/big-buffer.js';
import type { RfcState, VfioPciDevice } from '../vm/device.js';
import type { OutgoingDevice } from './device-side.js';
import { encodeRfcConfig } from './rfc-config.js';
import type { MigrationStatistics } from './statistics.js';
import type { StreamWriter } from './stream-writer.js';

/** Bytes read at a time. */
const BLOCK = 1 << 20;

export class RfcSaver implements OutgoingDevice {
  readonly #device: VfioPciDevice;
  readonly #state: RfcState;
  readonly #index: number;
  readonly #statistics: MigrationStatistics;
  /** It is part of the downtime, which nobody reckons with. */
  readonly pendingEstimate = 0;

  constructor(device: VfioPciDevice, state: RfcState, index: number, statistics: MigrationStatistics) {
    this.#device = device;
    this.#state = state;
    this.#index = index;
    this.#statistics = statistics;
  }

  setup(): void {
    // The log is RAM's.
  }

  pendingExact(): number {
    return 0;
  }

  async iterate(): Promise<void> {
    // The device runs.
  }

  async complete(writer: StreamWriter): Promise<void> {
    if (this.#state.running) this.#state.setRunning(false);
    await writer.deviceRecord('deviceConfig', this.#index, encodeRfcConfig(this.#device));
    const { size } = this.#state;
    const buffer = bigBuffer(BLOCK);
    for (let position = 0; position < size; position += BLOCK) {
      const data = buffer.subarray(0, Math.min(BLOCK, size - position));
      this.#state.read(position, data);
      await writer.deviceRecord('deviceData', this.#index, data);
      this.#statistics.vfioTransferred += data.length;
    }
  }

  async config(): Promise<void> {
    // Was before the state.
  }

  cleanup(): void {
    // A machine that runs on starts it.
  }
}
