/** Composition: the parts of one lab put together. Nothing is mounted yet. */
import { registerMisc } from '../device/misc.js';
import { Machine } from '../device/machine.js';
import { createDriver } from '../drivers/index.js';
import type { BlockerPolicyName } from '../blocker/policy.js';
import { IommufdFile } from '../iommufd/main.js';
import { MdevCore } from '../mdev/core.js';
import type { VfioKernel } from '../vfio/kernel-profile.js';
import { Vfio } from '../vfio/registrar.js';

/** include/linux/miscdevice.h: VFIO_MINOR. */
const VFIO_MINOR = 196;
/** The first dynamic minor number, as a kernel gives it to iommufd. */
const IOMMU_MINOR = 257;

export interface LabConfiguration {
  /** Drivers to load, each with its number of parent devices. Default: mtty with one. */
  readonly drivers?: readonly { readonly name: string; readonly parents?: number }[];
  /** Policy of new devices. Default `track`. */
  readonly blocker?: BlockerPolicyName;
  /** Whose answers to give where kernel versions differ. Default 6.12. */
  readonly kernel?: VfioKernel;
  /** VFIO_MIGRATION_* flags of new devices; default all that their driver can do. */
  readonly migrationFlags?: number;
}

/** Throws RangeError for an unknown driver. */
export function buildMachine({ drivers = [{ name: 'mtty' }], blocker, kernel, migrationFlags }: LabConfiguration): MdevCore {
  const machine = new Machine();
  const vfio = new Vfio(kernel === undefined ? {} : { kernel });
  registerMisc(machine, { name: 'vfio', minor: VFIO_MINOR, nodename: 'vfio/vfio', mode: 0o666, open: vfio.openContainer });
  registerMisc(machine, { name: 'iommu', minor: IOMMU_MINOR, mode: 0o660, open: () => new IommufdFile() });
  const core = new MdevCore(machine, vfio);
  for (const { name, parents } of drivers) core.registerDriver(createDriver(name, { blocker, migrationFlags }), parents);
  return core;
}
