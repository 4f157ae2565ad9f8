/** One device of an incoming migration. Source: QEMU's hw/vfio/migration.c: vfio_load_setup() ... vfio_load_cleanup(). */
import { ERRNO } from '../../abi/errno.js';
import { VFIO_DEVICE_STATE_RESUMING } from '../../abi/vfio.js';
import type { VfioMigration, VfioPciDevice } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { IncomingDevice } from './device-side.js';
import { checkMultifd } from './vfio-multifd.js';

export class DeviceLoader implements IncomingDevice {
  readonly #device: VfioPciDevice;
  readonly #migration: VfioMigration;

  constructor(device: VfioPciDevice, migration: VfioMigration) {
    this.#device = device;
    this.#migration = migration;
  }

  /** vfio_load_setup(). Throws VfioError. */
  setup(): void {
    checkMultifd(this.#device);
    this.#migration.setState(VFIO_DEVICE_STATE_RESUMING, this.#migration.deviceState);
    if (this.#migration.hasData) return;
    // No transition, no data_fd. QEMU finds that out with its first write.
    const how = 'start a VMM without --incoming on it once, or create it anew';
    throw new VfioError(`${this.#device.name}: Another VMM has left the device in RESUMING: ${how}`, ERRNO.EBADF);
  }

  /** vfio_load_state() of DEV_DATA_STATE. Throws Errno. */
  data(payload: Uint8Array): void {
    this.#migration.write(payload);
  }

  /** vfio_load_state() of DEV_CONFIG_STATE. Throws VfioError. */
  config(payload: Uint8Array): void {
    this.#device.loadConfig(payload.slice());
  }

  cleanup(): void {
    this.#migration.closeData();
  }
}
