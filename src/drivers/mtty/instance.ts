/** One created mtty: its device, and the files that it has in sysfs and debugfs. */
import type { MdevIdentity, MdevInstance } from '../../mdev/driver.js';
import { ro } from '../../sysfs/attribute.js';
import { bindGroup } from '../../sysfs/group.js';
import type { AttributeGroup } from '../../sysfs/group.js';
import type { MttyDeviceOptions } from './device.js';
import { MttyDevice } from './device.js';

const SAMPLE = ro<MdevIdentity>('sample_mdev_dev', (identity) => `This is MDEV ${identity.uuid}\n`);

export class MttyInstance implements MdevInstance {
  readonly vfio: MttyDevice;
  readonly #identity: MdevIdentity;
  readonly #giveBack: () => void;

  /** `giveBack` returns the ports to the pool. */
  constructor(identity: MdevIdentity, ports: 1 | 2, options: MttyDeviceOptions, giveBack: () => void) {
    this.#identity = identity;
    this.#giveBack = giveBack;
    this.vfio = new MttyDevice(ports, options, () => identity.notify?.('migration_block'));
  }

  /** The driver's own `vendor` directory, and the lab's `migration_block`. */
  get groups(): readonly AttributeGroup[] {
    return [bindGroup(this.#identity, [SAMPLE], 'vendor'), this.vfio.controls.group];
  }

  get debugfs(): NonNullable<MdevInstance['debugfs']> {
    return this.vfio.controls.debugfs(this.vfio);
  }

  remove(): void {
    this.#giveBack();
  }
}
