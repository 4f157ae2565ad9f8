/**
 * gvt: vGPUs of an integrated Intel GPU, as the kernel's GVT-g has them, with a device state of up to 16 MiB and DMA into guest
 * memory. What of it is the kernel's and what the lab's own: docs/gvt.md.
 *
 * How the parts fit: GvtDevice (device.ts) is the VFIO device: it answers ioctls, and passes reads and writes to the regions
 * (regions.ts). Card (card.ts) is the hardware: configuration space, BAR0 (registers, translation table), BAR2 (a window into
 * guest memory), DmaEngine (dma.ts), interrupts; state.ts is its migration stream. The migration itself is the MigrationMachine
 * of all drivers. A *protocol* (protocols.ts) is what of it a client gets to see: a table with one row for each generation, which
 * can add flags to GET_INFO, regions and ioctls. The machine's states, policies, faults and events are the same for all of them.
 */
import { Errno } from '../../abi/errno.js';
import type { MdevDriver, MdevIdentity, MdevInstance, MdevParentOps, MdevTypeDescription } from '../../mdev/driver.js';
import type { GvtDeviceOptions } from './device.js';
import { gpuFiles, gpuPath, gpuVariables, MAX_GPUS, setUpGpus } from './gpu.js';
import { GvtInstance } from './instance.js';
import { GpuResources, GVT_TYPES, gvtType } from './types.js';

export interface GvtOptions extends GvtDeviceOptions {
  /** Aperture of each GPU, MiB; default 1024, enough for seven of the smallest. */
  readonly aperture?: number | undefined;
  /** migrationFlags of single types, by name. */
  readonly typeMigrationFlags?: Readonly<Record<string, number>> | undefined;
}

const DEFAULT_APERTURE = 1024;

class Gpu implements MdevParentOps {
  readonly types = GVT_TYPES;
  readonly #options: GvtOptions;
  readonly #resources: GpuResources;

  constructor(aperture: number, options: GvtOptions) {
    this.#options = options;
    this.#resources = new GpuResources(aperture);
  }

  availableInstances(type: MdevTypeDescription): number {
    return this.#resources.available(gvtType(type));
  }

  probe(identity: MdevIdentity, description: MdevTypeDescription): MdevInstance {
    const type = gvtType(description);
    if (this.#resources.available(type) < 1) throw new Errno('ENOSPC');
    const id = this.#resources.take(type);
    const migrationFlags = this.#options.typeMigrationFlags?.[type.name] ?? this.#options.migrationFlags;
    return new GvtInstance(identity, type, id, { ...this.#options, migrationFlags }, () => this.#resources.giveBack(type, id));
  }
}

export function createGvtDriver(options: GvtOptions = {}): MdevDriver {
  const { aperture = DEFAULT_APERTURE } = options;
  return {
    name: 'gvt',
    busName: 'intel_vgpu_mdev',
    parentPath: gpuPath,
    parentGroups: [gpuFiles(aperture * 2 ** 20)],
    parentVariables: gpuVariables,
    setUp: setUpGpus,
    createParent: (n) => {
      if (n >= MAX_GPUS) throw new RangeError(`driver gvt has room for ${MAX_GPUS} parents`);
      return new Gpu(aperture, options);
    },
  };
}
