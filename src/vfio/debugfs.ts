/**
 * The kernel's own debugfs of a VFIO device: sys/kernel/debug/vfio/<dev>/migration/{state,features}.
 *
 * Source: drivers/vfio/debugfs.c. `features` is there from Linux 7.x on; the lab always has it.
 */
import { ro } from '../sysfs/attribute.js';
import { bindGroup } from '../sysfs/group.js';
import type { AttributeGroup } from '../sysfs/group.js';
import type { VfioDeviceOps } from './device.js';
import { migrationFeatureWords } from './migration-features.js';
import { migrationStateName } from './migration-states.js';

/** Undefined for a device that can't migrate: it has no `migration` directory. */
export function migrationDebugfsGroup(device: Pick<VfioDeviceOps, 'migration' | 'dmaLogging'>): AttributeGroup | undefined {
  const { migration } = device;
  if (migration === undefined) return undefined;
  const state = (): string => `${migrationStateName(migration.getState())}\n`;
  const features = (): string => {
    const words = [...migrationFeatureWords(migration.flags), ...(device.dmaLogging === true ? ['dirty-tracking'] : [])];
    return words.map((word) => `${word}\n`).join('');
  };
  return bindGroup(migration, [ro('state', state), ro('features', features)], 'migration');
}
