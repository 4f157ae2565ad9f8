/**
 * Laying the lab over the machine's /sys and /dev, in a private mount namespace.
 *
 * What the machine has too is simply covered by a bind mount. Directories that need an entry that the machine lacks (a
 * directory in sysfs cannot be made) are replaced by a tmpfs with the machine's entries bound back and the lab's beside them.
 * `planOverlay()` decides, `applyOverlay()` mounts; only the second one touches the machine.
 */

/** Paths below /sys and /dev where the entries of both are side by side; elsewhere the lab's directory covers the machine's. */
export const SYS_MERGED: ReadonlySet<string> = new Set([
  '', 'bus', 'bus/pci', 'bus/pci/devices', 'bus/pci/drivers', 'class', 'class/misc', 'class/iommu', 'devices', 'devices/pci0000:00',
  'devices/virtual', 'devices/virtual/misc', 'devices/virtual/iommu', 'kernel', 'kernel/debug', 'module',
]);
export const DEV_MERGED: ReadonlySet<string> = new Set(['']);

/**
 * Directories of the lab that come and go with their content, as the kernel's glue directories do. A bind mount would keep
 * showing a removed one, so these are symbolic links into the lab. Made whether they exist now or not.
 */
export const SYS_TRANSIENT: ReadonlySet<string> = new Set(['devices/virtual/vfio', 'devices/virtual/vfio-dev']);
/** Left to the machine: sys/dev/char changes with every device. */
export const SYS_IGNORED: ReadonlySet<string> = new Set(['dev']);

export type EntryKind = 'dir' | 'file' | 'link';
/** Entries of a directory, or undefined when it does not exist or cannot be listed. */
export type Lister = (path: string) => ReadonlyMap<string, EntryKind> | undefined;

export type Step =
  /** The lab's entry covers the machine's. */
  | { readonly op: 'cover'; readonly path: string }
  /** `path` becomes a tmpfs; the machine's entries named in `keep` are put back, then the lab's in `add`. */
  | {
    readonly op: 'rebuild';
    readonly path: string;
    readonly keep: ReadonlyMap<string, EntryKind>;
    readonly add: ReadonlyMap<string, EntryKind>;
    /** Names that become links into the lab. */
    readonly transient: readonly string[];
  };

export interface OverlayRules {
  readonly merged: ReadonlySet<string>;
  readonly transient: ReadonlySet<string>;
  readonly ignored: ReadonlySet<string>;
}

export const SYS_RULES: OverlayRules = { merged: SYS_MERGED, transient: SYS_TRANSIENT, ignored: SYS_IGNORED };
export const DEV_RULES: OverlayRules = { merged: DEV_MERGED, transient: new Set(), ignored: new Set() };

const join = (parent: string, name: string): string => (parent === '' ? name : `${parent}/${name}`);
const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Steps in the order in which they must be done: inner directories first. Paths are relative to both roots. */
export function planOverlay(machine: Lister, lab: Lister, rules: OverlayRules, path = ''): Step[] {
  const ours = lab(path);
  const theirs = machine(path);
  if (ours === undefined) return [];
  if (theirs === undefined) return [{ op: 'cover', path }];
  const steps: Step[] = [];
  const add = new Map<string, EntryKind>();
  const covered = new Map<string, EntryKind>();
  const transient = [...rules.transient].filter((one) => parentOf(one) === path).map(nameOf);
  for (const [name, kind] of ours) {
    const inner = join(path, name);
    if (rules.ignored.has(inner) || transient.includes(name)) continue;
    const same = theirs.get(name) === kind;
    if (same && kind === 'dir' && rules.merged.has(inner)) steps.push(...planOverlay(machine, lab, rules, inner));
    else if (same && kind !== 'link') covered.set(name, kind);
    else add.set(name, kind);
  }
  if (add.size === 0 && transient.length === 0) {
    steps.push(...[...covered.keys()].map((name) => ({ op: 'cover' as const, path: join(path, name) })));
    return steps;
  }
  for (const [name, kind] of covered) add.set(name, kind);
  const keep = new Map([...theirs].filter(([name]) => !add.has(name) && !transient.includes(name)));
  steps.push({ op: 'rebuild', path, keep, add, transient });
  return steps;
}
