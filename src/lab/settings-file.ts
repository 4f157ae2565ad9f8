/**
 * sys/kernel/debug/mdevsim/lab: how this lab was made, as one line of JSON in the words of a lab file without its devices. What a
 * lab was made with is not to be seen elsewhere in its tree, and `mdevsim list --as-config` only knows the tree.
 */
import { resolve } from 'node:path';
import { DEFAULT_KERNEL } from '../abi/kernel-profile.js';
import { LazyDir } from '../device/lazy-dir.js';
import { GroupSource } from '../device/layout.js';
import type { MdevCore } from '../mdev/core.js';
import { ro } from '../sysfs/attribute.js';
import { DEBUGFS } from '../sysfs/attribute-node.js';
import { bindGroup } from '../sysfs/group.js';
import { DEFAULT_BLOCKER_POLICY } from '../blocker/policy.js';
import { migrationFeatureWords, parseMigrationFeatures } from '../vfio/migration-features.js';
import type { LabConfiguration } from './build.js';
import type { UeventAudience } from '../uevents/audience.js';
import { isDriverPath } from './user-driver.js';

export interface LabSettings {
  readonly kernel: string;
  readonly policy: string;
  readonly xattrs?: true;
  readonly uevents?: UeventAudience;
  readonly slots?: number;
  readonly drivers: readonly {
    readonly name: string;
    readonly parents: number;
    readonly features?: readonly string[];
    readonly options?: Readonly<Record<string, unknown>>;
    readonly types?: Readonly<Record<string, { readonly features: readonly string[] }>>;
  }[];
}

const words = (features: string): readonly string[] => migrationFeatureWords(parseMigrationFeatures(features));

interface SettingsSource extends LabConfiguration {
  readonly xattrs?: boolean;
  readonly uevents?: UeventAudience;
}

/** `configuration` must have passed buildMachine(). */
export function settingsOf(configuration: SettingsSource): LabSettings {
  const { kernel = DEFAULT_KERNEL, blocker = DEFAULT_BLOCKER_POLICY, slots, migrationFlags, xattrs = false, uevents } = configuration;
  const { drivers = [{ name: 'mtty' }] } = configuration;
  const byDefault = migrationFlags === undefined ? undefined : migrationFeatureWords(migrationFlags);
  return {
    kernel, policy: blocker,
    ...(xattrs ? { xattrs } : {}),
    ...(uevents === undefined ? {} : { uevents }),
    ...(slots === undefined ? {} : { slots }),
    drivers: drivers.map(({ name, parents = 1, features, types = {}, options = {} }) => {
      const able = features === undefined ? byDefault : words(features);
      const special = Object.entries(types).flatMap(([type, { features: own }]) =>
        (own === undefined ? [] : [[type, { features: words(own) }] as const]));
      return {
        name: isDriverPath(name) ? resolve(name) : name,
        parents,
        ...(able === undefined ? {} : { features: able }),
        ...(Object.keys(options).length === 0 ? {} : { options }),
        ...(special.length === 0 ? {} : { types: Object.fromEntries(special) }),
      };
    }),
  };
}

export function showSettings({ machine }: MdevCore, settings: LabSettings): void {
  const directory = machine.debugfs.lookup('mdevsim');
  if (!(directory instanceof LazyDir)) throw new Error('debugfs has no directory mdevsim');
  const groups = [bindGroup(settings, [ro<LabSettings>('lab', (owner) => `${JSON.stringify(owner)}\n`)])];
  directory.addSource(new GroupSource(() => groups, machine.tree.allocateInos(1), DEBUGFS, 'newest'));
}
