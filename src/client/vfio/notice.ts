/** Policy `notify`, the VMM's side: says to the driver that a migration starts and that it has ended. docs/protocol.md */
import {
  MDEVSIM_FEATURE_MIGRATION_NOTICE, MDEVSIM_MIGRATION_ENDED, MDEVSIM_MIGRATION_STARTS, mdevsim_migration_notice,
} from '../../abi/mdevsim.js';
import { VFIO_DEVICE_FEATURE_SET } from '../../abi/vfio.js';
import { deviceFeature, probeFeature } from './ioctl.js';

export class MigrationNotice {
  readonly #fd: number;
  #told = false;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Undefined where the driver does not know the feature: a real kernel. */
  static of(fd: number): MigrationNotice | undefined {
    return probeFeature(fd, MDEVSIM_FEATURE_MIGRATION_NOTICE, VFIO_DEVICE_FEATURE_SET) ? new MigrationNotice(fd) : undefined;
  }

  /** Throws Errno: EBUSY where the driver refuses. */
  start(): void {
    this.#tell(MDEVSIM_MIGRATION_STARTS);
    this.#told = true;
  }

  /** Nothing where no start was told. */
  end(): void {
    if (!this.#told) return;
    this.#told = false;
    try {
      this.#tell(MDEVSIM_MIGRATION_ENDED);
    } catch { /* The device is gone. */ }
  }

  #tell(event: number): void {
    deviceFeature(this.#fd, 'set', MDEVSIM_FEATURE_MIGRATION_NOTICE, mdevsim_migration_notice, { event });
  }
}
