/**
 * mtty: the sample mdev driver of the kernel, a PCI card with one or two serial ports that talk to themselves.
 *
 * Behaves as samples/vfio-mdev/mtty.c of Linux 6.12, as recorded in test/golden, with what every driver of the lab has
 * besides: `migration_block` with its interrupt, and the fault knobs.
 */
import { Errno } from '../../abi/errno.js';
import { VFIO_DEVICE_API_PCI_STRING } from '../../abi/vfio.js';
import type { MdevDriver, MdevIdentity, MdevInstance, MdevParentOps, MdevTypeDescription } from '../../mdev/driver.js';
import type { MttyDeviceOptions } from './device.js';
import { MttyInstance } from './instance.js';

export interface MttyOptions extends MttyDeviceOptions {
  /** Ports that all cards of a parent share; default 24, the driver's MAX_MTTYS. */
  readonly ports?: number | undefined;
  /** migrationFlags of single types, by name. */
  readonly typeMigrationFlags?: Readonly<Record<string, number>> | undefined;
}

const MAX_MTTYS = 24;

interface MttyType extends MdevTypeDescription {
  readonly ports: 1 | 2;
}

const TYPES: readonly MttyType[] = [
  { name: 'mtty-1', prettyName: 'Single port serial', deviceApi: VFIO_DEVICE_API_PCI_STRING, ports: 1 },
  { name: 'mtty-2', prettyName: 'Dual port serial', deviceApi: VFIO_DEVICE_API_PCI_STRING, ports: 2 },
];

function portsOf(type: MdevTypeDescription): 1 | 2 {
  const found = TYPES.find(({ name }) => name === type.name);
  if (found === undefined) throw new RangeError(`mtty has no type ${type.name}`);
  return found.ports;
}

class MttyParent implements MdevParentOps {
  readonly types = TYPES;
  readonly #options: MttyOptions;
  /** For types that differ; made once: there may be ten thousand devices. */
  readonly #typeOptions: ReadonlyMap<string, MttyOptions>;
  #available: number;

  constructor(options: MttyOptions) {
    this.#options = options;
    const special = Object.entries(options.typeMigrationFlags ?? {});
    this.#typeOptions = new Map(special.map(([name, migrationFlags]) => [name, { ...options, migrationFlags }]));
    this.#available = options.ports ?? MAX_MTTYS;
  }

  availableInstances(type: MdevTypeDescription): number {
    return Math.floor(this.#available / portsOf(type));
  }

  probe(identity: MdevIdentity, type: MdevTypeDescription): MdevInstance {
    const ports = portsOf(type);
    if (this.#available < ports) throw new Errno('ENOSPC');
    this.#available -= ports;
    const options = this.#typeOptions.get(type.name) ?? this.#options;
    return new MttyInstance(identity, ports, options, () => { this.#available += ports; });
  }
}

export function createMttyDriver(options: MttyOptions = {}): MdevDriver {
  return {
    name: 'mtty',
    parentClass: 'mtty',
    // The kernel has one parent, `mtty`; more of them are the lab's.
    parentPath: (n) => `virtual/mtty/mtty${n === 0 ? '' : n}`,
    createParent: () => new MttyParent(options),
  };
}
