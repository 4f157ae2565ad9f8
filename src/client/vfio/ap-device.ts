/**
 * A vfio-ap device: no regions, and interrupts that tell of what is changed on the host. Source: QEMU's hw/vfio/ap.c:
 * vfio_ap_realize(), vfio_ap_reset(). Stock QEMU calls it unmigratable; this VMM migrates it as any other device, and listens to the
 * attribute `migratable` of the posted series' first version where the driver has it.
 */
import { readFileSync } from 'node:fs';
import {
  VFIO_AP_CFG_CHG_IRQ_INDEX, VFIO_AP_DISABLE_MIG_IRQ_INDEX, VFIO_AP_ENABLE_MIG_IRQ_INDEX, VFIO_AP_NUM_IRQS, VFIO_AP_NUM_IRQS_V1,
} from '../../abi/vfio-ap.js';
import { VFIO_AP_REQ_IRQ_INDEX, VFIO_DEVICE_FLAGS_AP, VFIO_DEVICE_RESET } from '../../abi/vfio.js';
import { ioctlFd } from '../../sys/io.js';
import type { ConfigAccess, VfioPciOptions } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { WatchedAttribute } from './blocker-watch.js';
import { migrationBlock } from './blocker-watch.js';
import type { DeviceEnvironment, DevicePlace } from './host-device.js';
import { HostDevice } from './host-device.js';

/** The driver signals one interrupt for 1, another for 0. */
const MIGRATABLE: WatchedAttribute = {
  name: 'migratable', blocks: '0', indexes: [VFIO_AP_ENABLE_MIG_IRQ_INDEX, VFIO_AP_DISABLE_MIG_IRQ_INDEX],
};

/** There is no configuration space. */
const NO_CONFIG: ConfigAccess = {
  get: () => 0,
  write: () => undefined,
  capability: () => undefined,
};

export class ApDevice extends HostDevice {
  readonly api = 'vfio-ap';
  readonly dma = false;
  readonly sectionId: string;
  readonly config = NO_CONFIG;
  protected readonly requestIndex = VFIO_AP_REQ_IRQ_INDEX;
  protected readonly watched: readonly WatchedAttribute[];

  constructor(options: VfioPciOptions, place: DevicePlace, environment: DeviceEnvironment) {
    super(options, place, environment);
    this.sectionId = `vfio-ap/${place.slot}`;
    try {
      if ((this.flags & VFIO_DEVICE_FLAGS_AP) === 0) throw new VfioError("this isn't an AP device");
      const isV1 = this.hasIrq(VFIO_AP_NUM_IRQS_V1);
      this.watched = isV1 ? [MIGRATABLE, migrationBlock(VFIO_AP_NUM_IRQS_V1)] : [migrationBlock(VFIO_AP_NUM_IRQS)];
      if (this.hasIrq(VFIO_AP_CFG_CHG_IRQ_INDEX)) this.listen(VFIO_AP_CFG_CHG_IRQ_INDEX, () => this.#changed()).enable();
    } catch (error) {
      throw this.failed(error);
    }
  }

  saveConfig(): Uint8Array {
    return new Uint8Array(0);
  }
  loadConfig(data: Uint8Array): void {
    if (data.length > 0) throw new VfioError(`${this.name}: Failed to load device config space`);
  }

  resetByMachine(): void {
    ioctlFd(this.fd, VFIO_DEVICE_RESET, null);
  }

  /** The guest has other queues now. */
  #changed(): void {
    const queues = readFileSync(`${this.options.sysfsdev}/guest_matrix`, 'latin1').trim().split('\n').join(' ');
    this.environment.vm.environment.log('info', `${this.name}: the guest's queues are now: ${queues}`);
  }
}
