/**
 * Which folder may import which. Imports inside a folder are always allowed, and everything may import src/trace.
 * test/ and scripts/ may import anything.
 */
const EVERYTHING = '*';

export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  'src/abi': [],
  'src/trace': [],
  'src/sys': ['src/abi'],
  'src/kernfs': ['src/abi'],
  'src/sysfs': ['src/kernfs', 'src/abi'],
  'src/device': ['src/sysfs', 'src/kernfs', 'src/abi'],
  'src/mdev': ['src/device', 'src/vfio', 'src/sysfs', 'src/kernfs', 'src/abi'],
  'src/iommufd': ['src/device', 'src/kernfs', 'src/abi'],
  'src/vfio': ['src/iommufd', 'src/device', 'src/sysfs', 'src/kernfs', 'src/sys', 'src/abi'],
  'src/blocker': ['src/vfio', 'src/sysfs', 'src/kernfs', 'src/abi'],
  'src/fault': ['src/vfio', 'src/sysfs', 'src/kernfs', 'src/abi'],
  'src/controls': ['src/blocker', 'src/fault', 'src/vfio', 'src/sysfs', 'src/kernfs', 'src/abi'],
  /* Every src/drivers/<name> is a folder of its own: drivers never import each other; the registry imports them all. */
  'src/drivers/*': ['src/controls', 'src/mdev', 'src/vfio', 'src/blocker', 'src/device', 'src/sysfs', 'src/kernfs', 'src/abi'],
  'src/drivers': ['src/drivers/*', 'src/mdev', 'src/blocker'],
  'src/uevents': ['src/device', 'src/sys', 'src/abi'],
  /* The VMM reaches the lab as QEMU would: through files. It never imports the emulation. */
  'src/client': ['src/sys', 'src/abi'],
  mount: ['src/kernfs', 'src/sys', 'src/abi'],
  'src/lab': [
    'src/drivers', 'src/drivers/*', 'src/controls', 'src/blocker', 'src/fault', 'src/vfio', 'src/iommufd', 'src/mdev', 'src/device',
    'src/sysfs', 'src/kernfs', 'src/sys', 'src/abi', 'src/client', 'src/uevents', 'mount',
  ],
  'src/cli': [EVERYTHING],
  src: [EVERYTHING],
};

/** Imports that the table forbids but for types only, because the contract needs the other side's shape and no code. */
export const TYPES_ONLY: Readonly<Record<string, readonly string[]>> = {
  'src/mdev': ['src/vfio'],
};

/** The layer of a file: the deepest key that matches its folder; undefined outside the table (test, scripts). */
export function layerOf(file: string): string | undefined {
  const parts = file.split('/');
  if (parts[0] === 'mount') return 'mount';
  if (parts[0] !== 'src') return undefined;
  if (parts.length === 2) return 'src';
  if (parts[1] === 'drivers') return parts.length === 3 ? 'src/drivers' : 'src/drivers/*';
  return `src/${parts[1]}`;
}

export interface Import {
  /** Paths from the project's root. */
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

/** Why an import is forbidden, or undefined. */
export function forbidden({ from, to, typeOnly }: Import): string | undefined {
  const source = layerOf(from);
  if (source === undefined) return undefined;
  const target = layerOf(to);
  if (target === undefined) return `${from} imports ${to}, which is not part of the program`;
  const driver = (file: string): string | undefined => file.split('/')[2];
  if (source === 'src/drivers/*' && target === source && driver(from) !== driver(to)) {
    return `${from} imports ${to}: drivers do not import each other`;
  }
  if (source === target || target === 'src/trace') return undefined;
  const allowed = LAYERS[source];
  if (allowed === undefined) return `${source} has no row in scripts/layers.ts`;
  const what = `${from} imports ${to}: ${source}`;
  if (!allowed.includes(EVERYTHING) && !allowed.includes(target)) return `${what} may not import ${target}`;
  if (TYPES_ONLY[source]?.includes(target) === true && !typeOnly) return `${what} may import only types from ${target}`;
  return undefined;
}
