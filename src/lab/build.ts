/** Composition: the parts of one lab put together. Nothing is mounted yet. */
import { registerMisc } from '../device/misc.js';
import { Machine } from '../device/machine.js';
import { createDriver } from '../drivers/index.js';
import type { DriverOptions } from '../drivers/index.js';
import type { BlockerPolicyName } from '../blocker/policy.js';
import { IommufdFile } from '../iommufd/main.js';
import { MdevCore } from '../mdev/core.js';
import type { VfioKernel } from '../vfio/kernel-profile.js';
import { parseMigrationFeatures } from '../vfio/migration-features.js';
import { Vfio } from '../vfio/registrar.js';

/** include/linux/miscdevice.h: VFIO_MINOR. */
const VFIO_MINOR = 196;
/** The first dynamic minor number, as a kernel gives it to iommufd. */
const IOMMU_MINOR = 257;

export interface DriverRequest {
  readonly name: string;
  /** How many parent devices; default 1. */
  readonly parents?: number;
  /** What its devices can do in a migration, as words: `stop-copy+p2p`. Default: all that the driver can. */
  readonly features?: string;
  /** What differs for single types, by name: `mtty-1`. */
  readonly types?: Readonly<Record<string, { readonly features?: string }>>;
}

export interface LabConfiguration {
  /** Drivers to load. Default: mtty with one parent. */
  readonly drivers?: readonly DriverRequest[];
  /** Policy of new devices. Default `track`. */
  readonly blocker?: BlockerPolicyName;
  /** Whose answers to give where kernel versions differ. Default 6.12. */
  readonly kernel?: VfioKernel;
  /** VFIO_MIGRATION_* flags of new devices; default all that their driver can do. */
  readonly migrationFlags?: number;
}

/** Throws RangeError, with a sentence for the user, for an unknown driver, type or migration feature. */
export function buildMachine({ drivers = [{ name: 'mtty' }], blocker, kernel, migrationFlags }: LabConfiguration): MdevCore {
  const machine = new Machine();
  const vfio = new Vfio(kernel === undefined ? {} : { kernel });
  registerMisc(machine, { name: 'vfio', minor: VFIO_MINOR, nodename: 'vfio/vfio', mode: 0o666, open: vfio.openContainer });
  registerMisc(machine, { name: 'iommu', minor: IOMMU_MINOR, mode: 0o660, open: () => new IommufdFile() });
  const core = new MdevCore(machine, vfio);
  for (const request of drivers) load(core, request, { blocker, migrationFlags });
  return core;
}

function load(core: MdevCore, { name, parents, features, types = {} }: DriverRequest, defaults: DriverOptions): void {
  const typeMigrationFlags: Record<string, number> = {};
  for (const [type, special] of Object.entries(types)) {
    if (special.features !== undefined) typeMigrationFlags[type] = parseMigrationFeatures(special.features);
  }
  const migrationFlags = features === undefined ? defaults.migrationFlags : parseMigrationFeatures(features);
  const driver = createDriver(name, { ...defaults, migrationFlags, typeMigrationFlags });
  const { parents: [first] } = core.registerDriver(driver, parents);
  const known = first?.ops.types.map((type) => type.name) ?? [];
  const unknown = Object.keys(types).find((type) => !known.includes(type));
  if (unknown !== undefined) throw new RangeError(`driver ${name} has no type ${unknown}: there are ${known.join(', ')}`);
}
