/**
 * vfio_ap: the mdev driver of IBM Z that gives queues of cryptographic cards to guests, on a fake AP bus.
 *
 * Behaves as drivers/s390/crypto/vfio_ap_{drv,ops}.c, with what every driver of the lab has besides: `migration_block` with its
 * interrupt, and the fault knobs. Migration is that of the series posted on linux-s390 (device.ts). There is no guest and no
 * machine behind: an open VFIO device counts as a guest, and queues do no work.
 */
import { Errno } from '../../abi/errno.js';
import { VFIO_DEVICE_API_AP_STRING } from '../../abi/vfio.js';
import { Driver } from '../../device/driver.js';
import type { Machine } from '../../device/machine.js';
import type { MdevDriver, MdevDriverSetup, MdevIdentity, MdevInstance, MdevParentOps } from '../../mdev/driver.js';
import { ro } from '../../sysfs/attribute.js';
import { bindGroup } from '../../sysfs/group.js';
import type { AttributeGroup } from '../../sysfs/group.js';
import { ApBus } from './ap-bus.js';
import { ApHost } from './ap-host.js';
import type { ApHostOptions } from './ap-host.js';
import type { VfioApDeviceOptions } from './device.js';
import { VfioApInstance } from './instance.js';

export interface VfioApOptions extends VfioApDeviceOptions {
  /** Size and content of the AP bus. */
  readonly ap?: ApHostOptions | undefined;
}

/** MAX_ZDEV_ENTRIES_EXT */
const MAX_INSTANCES = 256;

const TYPES = [{ name: 'vfio_ap-passthrough', prettyName: 'VFIO AP Passthrough Device', deviceApi: VFIO_DEVICE_API_AP_STRING }];

class Matrix implements MdevParentOps {
  readonly types = TYPES;
  readonly #host: ApHost;
  readonly #options: VfioApDeviceOptions;
  #available = MAX_INSTANCES;

  constructor(host: ApHost, options: VfioApDeviceOptions) {
    this.#host = host;
    this.#options = options;
  }

  availableInstances(): number {
    return this.#available;
  }

  /** Throws EUSERS when nothing is left, as mdev_device_create() does for a driver that only tells a maximum. */
  probe(identity: MdevIdentity): MdevInstance {
    if (this.#available === 0) throw new Errno('EUSERS');
    this.#available--;
    return new VfioApInstance(this.#host, identity, this.#options, () => { this.#available++; });
  }
}

/** `features` of the matrix device: what tools may rely on. The last word is the series's, in all of its versions. */
const FEATURES: AttributeGroup = bindGroup({}, [ro('features', () => 'guest_matrix hotplug ap_config migratable\n')]);

/** The AP bus, and the device /sys/devices/vfio_ap/matrix with a bus and a driver of its own. */
function setUp(machine: Machine, host: ApHost): MdevDriverSetup {
  const ap = new ApBus(machine, host);
  const root = machine.addRootDevice('vfio_ap', { module: 'vfio_ap' });
  const bus = machine.addBus('matrix');
  const parentDriver = new Driver(bus, 'vfio_ap', 'vfio_ap', () => { throw new Errno('EOPNOTSUPP', 'the matrix stays bound'); });
  bus.drivers.add(parentDriver.name, parentDriver);
  return {
    parentDriver,
    undo: () => {
      machine.removeBus(bus);
      machine.removeRootDevice(root);
      ap.remove();
    },
  };
}

/** Throws RangeError, with a sentence for the user, for an AP bus that can't be. There is one matrix, whatever `parents` says. */
export function createVfioApDriver(options: VfioApOptions = {}): MdevDriver {
  const host = new ApHost(options.ap);
  return {
    name: 'vfio_ap',
    busName: 'vfio_ap_mdev',
    parentPath: () => 'vfio_ap/matrix',
    parentGroups: [FEATURES],
    setUp: (machine) => setUp(machine, host),
    createParent: (n) => {
      if (n > 0) throw new RangeError('driver vfio_ap has one parent, matrix');
      return new Matrix(host, options);
    },
  };
}
