/** One created vfio_ap mdev: its matrix, its VFIO device, and the files that it has in sysfs and debugfs. */
import type { MdevIdentity, MdevInstance } from '../../mdev/driver.js';
import { bindGroup } from '../../sysfs/group.js';
import type { AttributeGroup } from '../../sysfs/group.js';
import type { ApHost } from './ap-host.js';
import type { VfioApDeviceOptions } from './device.js';
import { VfioApDevice } from './device.js';
import { MATRIX_ATTRIBUTES } from './matrix-attributes.js';
import { MatrixMdev } from './matrix-mdev.js';
import { MIGRATABLE } from './migratable.js';
import { VFIO_AP_CFG_CHG_IRQ_INDEX } from '../../abi/vfio-ap.js';

export class VfioApInstance implements MdevInstance {
  readonly vfio: VfioApDevice;
  readonly matrix: MatrixMdev;
  readonly #removed: () => void;

  /** `removed` is told when it is gone. */
  constructor(host: ApHost, identity: MdevIdentity, options: VfioApDeviceOptions, removed: () => void) {
    this.#removed = removed;
    this.matrix = new MatrixMdev(host, identity.uuid, {
      log: (message) => identity.log(message),
      guestChanged: () => this.vfio.signal(VFIO_AP_CFG_CHG_IRQ_INDEX),
    });
    this.vfio = new VfioApDevice(this.matrix, options, () => identity.notify?.('migration_block'));
  }

  /** The driver's attributes, and the lab's `migration_block`. */
  get groups(): readonly AttributeGroup[] {
    const { migratable, controls } = this.vfio;
    return [
      bindGroup(this.matrix, MATRIX_ATTRIBUTES),
      ...(migratable === undefined ? [] : [bindGroup(migratable, [MIGRATABLE])]),
      controls.group,
    ];
  }

  /** v1 tells VFIO of its migration too late for the kernel's own directory. */
  get debugfs(): NonNullable<MdevInstance['debugfs']> {
    const files = this.vfio.controls.debugfs(this.vfio);
    return this.vfio.migratable === undefined ? files : { ...files, vfio: [] };
  }

  remove(): void {
    this.matrix.remove();
    this.vfio.release();
    this.#removed();
  }
}
