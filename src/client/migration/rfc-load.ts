/** One device of an incoming migration as the RFC proposed it. Source: hw/vfio/pci.c: vfio_get of vfio_vmstate_info. */
import type { RfcState, VfioPciDevice } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { IncomingDevice } from './device-side.js';
import { loadRfcConfig } from './rfc-config.js';

export class RfcLoader implements IncomingDevice {
  readonly #device: VfioPciDevice;
  readonly #state: RfcState;
  #position = 0;

  constructor(device: VfioPciDevice, state: RfcState) {
    this.#device = device;
    this.#state = state;
  }

  setup(): void {
    // The first byte that is written says it all.
  }

  config(payload: Uint8Array): void {
    loadRfcConfig(this.#device, payload);
  }

  data(payload: Uint8Array): void {
    this.#state.write(this.#position, payload);
    this.#position += payload.length;
  }

  end(): void {
    if (this.#position === this.#state.size) return;
    throw new VfioError(`vfio: Failed to write Device State Region: it has ${this.#state.size} bytes, not ${this.#position}`);
  }

  cleanup(): void {
    // The machine's start starts the device.
  }
}
