/** The drivers there are: one row each. A new driver is a folder beside this file and a row here. */
import type { BlockerPolicyName } from '../blocker/policy.js';
import type { MdevDriver } from '../mdev/driver.js';
import { createGvtDriver } from './gvt/index.js';
import { parseGvtOptions } from './gvt/options.js';
import { createMttyDriver } from './mtty/index.js';
import { createVfioApDriver } from './vfio-ap/index.js';
import { parseVfioApOptions } from './vfio-ap/options.js';

/** What every driver takes; each has more of its own. */
export interface DriverOptions {
  /** Policy of new devices' migration_block; default `track`. */
  readonly blocker?: BlockerPolicyName | undefined;
  /** VFIO_MIGRATION_* flags of new devices; default all that the driver can do. */
  readonly migrationFlags?: number | undefined;
  /** The same for single types, by name (`mtty-1`). */
  readonly typeMigrationFlags?: Readonly<Record<string, number>> | undefined;
  /** Options that only this driver has, by name; the driver checks them. */
  readonly own?: Readonly<Record<string, unknown>> | undefined;
}

const DRIVERS: Readonly<Record<string, (options: DriverOptions) => MdevDriver>> = {
  mtty: ({ own = {}, ...options }) => {
    const [unknown] = Object.keys(own);
    if (unknown !== undefined) throw new RangeError(`driver mtty has no option '${unknown}'`);
    return createMttyDriver(options);
  },
  gvt: ({ own = {}, ...options }) => createGvtDriver({ ...options, ...parseGvtOptions(own) }),
  vfio_ap: ({ own = {}, ...options }) => createVfioApDriver({ ...options, ...parseVfioApOptions(own) }),
};

export const DRIVER_NAMES: readonly string[] = Object.keys(DRIVERS);

/** Throws RangeError, with a sentence for the user, for a name that is not in DRIVER_NAMES and for wrong options of its own. */
export function createDriver(name: string, options: DriverOptions = {}): MdevDriver {
  const create = Object.hasOwn(DRIVERS, name) ? DRIVERS[name] : undefined;
  if (create === undefined) throw new RangeError(`unknown driver '${name}': use ${DRIVER_NAMES.join(', ')}`);
  return create(options);
}
