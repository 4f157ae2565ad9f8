/** Composition: the parts of one lab put together. Nothing is mounted yet. */
import { DEFAULT_KERNEL, KERNEL_PROFILES } from '../abi/kernel-profile.js';
import type { KernelVersion } from '../abi/kernel-profile.js';
import { registerMisc } from '../device/misc.js';
import { Machine } from '../device/machine.js';
import { createDriver } from '../drivers/index.js';
import type { DriverOptions } from '../drivers/index.js';
import type { BlockerPolicyName } from '../blocker/policy.js';
import { IommufdFile } from '../iommufd/main.js';
import { Tree } from '../kernfs/tree.js';
import { MdevCore } from '../mdev/core.js';
import type { MdevDriver } from '../mdev/driver.js';
import { parseMigrationFeatures } from '../vfio/migration-features.js';
import { Vfio } from '../vfio/registrar.js';
import type { Report, SetupPath } from './setup.js';
import { isDriverPath, loadUserDriver } from './user-driver.js';
import type { DriverFactory } from './user-driver.js';

/** include/linux/miscdevice.h: VFIO_MINOR. */
const VFIO_MINOR = 196;
/** The first dynamic minor number, as a kernel gives it to iommufd. */
const IOMMU_MINOR = 257;

export interface DriverRequest {
  /** One of DRIVER_NAMES, or the path of a module (user-driver.ts), which Lab.mount() loads. */
  readonly name: string;
  /** Instead of one of that name. */
  readonly factory?: DriverFactory;
  /** How many parent devices; default 1. */
  readonly parents?: number;
  /** What its devices can do in a migration, as words: `stop-copy+p2p`. Default: all that the driver can. */
  readonly features?: string;
  /** What differs for single types, by name: `mtty-1`. */
  readonly types?: Readonly<Record<string, { readonly features?: string }>>;
  /** What only this driver has; the driver checks it. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface LabConfiguration {
  /** Drivers to load. Default: mtty with one parent. */
  readonly drivers?: readonly DriverRequest[];
  /** Policy of new devices. Default `track`. */
  readonly blocker?: BlockerPolicyName;
  /** Whose answers to give where kernel versions differ. Default 6.12. */
  readonly kernel?: KernelVersion;
  /** VFIO_MIGRATION_* flags of new devices; default all that their driver can do. */
  readonly migrationFlags?: number;
  /** For who runs programs on it: as the option --slots of `mdevsim run`. The lab only tells it on. */
  readonly slots?: number;
}

/**
 * What is wrong goes to `report`: RangeError, with a sentence for the user, for an unknown driver, type or migration feature, and
 * EEXIST for a driver that is named twice. Without `report` it is thrown.
 */
export function buildMachine(configuration: LabConfiguration, report: Report = thrown): MdevCore {
  const { drivers = [{ name: 'mtty' }], blocker, kernel = DEFAULT_KERNEL, migrationFlags } = configuration;
  const profile = KERNEL_PROFILES[kernel];
  const machine = new Machine(new Tree(profile));
  const vfio = new Vfio({ kernel });
  registerMisc(machine, { name: 'vfio', minor: VFIO_MINOR, nodename: 'vfio/vfio', mode: 0o666, open: vfio.openContainer });
  registerMisc(machine, { name: 'iommu', minor: IOMMU_MINOR, mode: 0o660, open: () => new IommufdFile({ profile }) });
  const core = new MdevCore(machine, vfio);
  for (const [index, request] of drivers.entries()) {
    try {
      load(core, request, { blocker, migrationFlags }, (part, type, error) => report(['drivers', index, part, type], error));
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
  core: MdevCore, { name, factory, parents, features, types = {}, options }: DriverRequest, defaults: DriverOptions,
  report: (part: 'types' | 'options', name: string | undefined, error: unknown) => void,
): void {
  const typeMigrationFlags: Record<string, number> = {};
  for (const [type, special] of Object.entries(types)) {
    if (special.features !== undefined) typeMigrationFlags[type] = parseMigrationFeatures(special.features);
  }
  const migrationFlags = features === undefined ? defaults.migrationFlags : parseMigrationFeatures(features);
  const driverOptions = { ...defaults, migrationFlags, typeMigrationFlags, own: options };
  let driver: MdevDriver;
  try {
    driver = factory === undefined ? createDriver(name, driverOptions) : factory(driverOptions);
  } catch (error) {
    if (options === undefined || !(error instanceof RangeError)) throw error;
    report('options', undefined, error);
    return;
  }
  const { parents: [first] } = core.registerDriver(driver, parents);
  const known = first?.ops.types.map((type) => type.name) ?? [];
  for (const type of Object.keys(types)) {
    if (known.includes(type)) continue;
    report('types', type, new RangeError(`driver ${name} has no type ${type}: there are ${known.join(', ')}`));
  }
}

/** The same configuration, with the drivers that are modules loaded. */
export async function loadDrivers<T extends LabConfiguration>(configuration: T, report: Report = thrown): Promise<T> {
  const { drivers } = configuration;
  if (drivers?.some(({ name }) => isDriverPath(name)) !== true) return configuration;
  const loaded: DriverRequest[] = [];
  for (const [index, request] of drivers.entries()) {
    try {
      const module = request.factory === undefined && isDriverPath(request.name);
      loaded.push(module ? { ...request, factory: await loadUserDriver(request.name) } : request);
    } catch (error) {
      report(['drivers', index], error);
    }
  }
  return { ...configuration, drivers: loaded };
}
