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
import type { Report, SetupPath } from './setup.js';

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
  /** For who runs programs on it: how many slots to open. The lab only tells it on. */
  readonly slots?: number;
}

/**
 * What is wrong goes to `report`: RangeError, with a sentence for the user, for an unknown driver, type or migration feature, and
 * EEXIST for a driver that is named twice. Without `report` it is thrown.
 */
export function buildMachine(configuration: LabConfiguration, report: Report = thrown): MdevCore {
  const { drivers = [{ name: 'mtty' }], blocker, kernel, migrationFlags } = configuration;
  const machine = new Machine();
  const vfio = new Vfio(kernel === undefined ? {} : { kernel });
  registerMisc(machine, { name: 'vfio', minor: VFIO_MINOR, nodename: 'vfio/vfio', mode: 0o666, open: vfio.openContainer });
  registerMisc(machine, { name: 'iommu', minor: IOMMU_MINOR, mode: 0o660, open: () => new IommufdFile() });
  const core = new MdevCore(machine, vfio);
  for (const [index, request] of drivers.entries()) {
    try {
      load(core, request, { blocker, migrationFlags }, (type, error) => report(['drivers', index, 'types', type], error));
    } catch (error) {
      report(['drivers', index], error);
    }
  }
  return core;
}

function thrown(_path: SetupPath, error: unknown): never {
  throw error;
}

function load(
  core: MdevCore, { name, parents, features, types = {} }: DriverRequest, defaults: DriverOptions,
  report: (type: string, error: unknown) => void,
): void {
  const typeMigrationFlags: Record<string, number> = {};
  for (const [type, special] of Object.entries(types)) {
    if (special.features !== undefined) typeMigrationFlags[type] = parseMigrationFeatures(special.features);
  }
  const migrationFlags = features === undefined ? defaults.migrationFlags : parseMigrationFeatures(features);
  const driver = createDriver(name, { ...defaults, migrationFlags, typeMigrationFlags });
  const { parents: [first] } = core.registerDriver(driver, parents);
  const known = first?.ops.types.map((type) => type.name) ?? [];
  for (const type of Object.keys(types)) {
    if (!known.includes(type)) report(type, new RangeError(`driver ${name} has no type ${type}: there are ${known.join(', ')}`));
  }
}
