/** What the runner knows about test files beforehand: time limits, which may share the machine, which are opt-in. */
export interface Plan {
  readonly file: string;
  /** Seconds until the file is killed. */
  readonly limit: number;
  /** Touches no mount and no process but its own: may run beside another such file. */
  readonly parallel: boolean;
  /** Runs once more when it fails, which the summary names: real mounts and programs, whose timing is not ours. */
  readonly retry: boolean;
}

const DEFAULT_LIMIT = 120;

/** First match wins. */
const LIMITS: readonly (readonly [RegExp, number])[] = [
  [/^test\/(containers|libvirt|mdevctl-next|qemu-next|qemu-v1)\//, 600],
  [/^test\/qemu-limits\//, 900],
  [/^test\/docs\//, 600],
  [/^test\/e2e\//, 240],
  [/^test\/client\/compare-/, 420],
  [/^test\/fuzz\//, 300],
  [/^test\/conformance\//, 240],
  [/^test\/scale\//, 240],
];

const PARALLEL = /^test\/(abi|trace|kernfs|sysfs|device|mdev|iommufd|vfio|blocker|fault|drivers|golden)\//;
/** Uses a mount, child processes or stock programs, whose timing is the machine's. */
const RETRY = /^test\/(bench|cli|client|conformance|containers|docs|e2e|fuzz|lab|libvirt|mdevctl-next|mount|qemu-next|qemu-v1|scenarios|uevents)\/|(mounted|mdevctl)[^/]*$/;

/** Directories that run only when asked for by an option. */
export const OPT_IN: Readonly<Record<string, string>> = {
  'test/containers/': '--containers',
  'test/libvirt/': '--libvirt',
  'test/mdevctl-next/': '--mdevctl-next',
  'test/qemu-limits/': '--qemu-limits',
  'test/qemu-next/': '--qemu-next',
  'test/qemu-v1/': '--qemu-v1',
};

export function plan(file: string, limit?: number): Plan {
  return {
    file,
    limit: limit ?? LIMITS.find(([pattern]) => pattern.test(file))?.[1] ?? DEFAULT_LIMIT,
    parallel: PARALLEL.test(file),
    retry: RETRY.test(file),
  };
}

const optionOf = (file: string): string | undefined => Object.entries(OPT_IN).find(([folder]) => file.startsWith(folder))?.[1];

/**
 * Files to run: all that match one of the filters (part of the path), without opt-in ones that were not asked for. These come last:
 * they depend most on the machine and the network, and must not take the time of the others.
 */
export function choose(files: readonly string[], filters: readonly string[], options: ReadonlySet<string>): Plan[] {
  return files
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .map((file) => ({ file, option: optionOf(file) }))
    .filter(({ option }) => option === undefined || options.has(option))
    .sort((a, b) => Number(a.option !== undefined) - Number(b.option !== undefined) || (a.file < b.file ? -1 : 1))
    .map(({ file }) => plan(file));
}
