/** The areas of the golden data, and how to bring a lab to answer the same questions. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { GoldenFile, GoldenKernel, GoldenRecord } from '../../golden/load.js';
import { loadGolden } from '../../golden/load.js';
import type { Probe, ProbeRun } from './probes.js';
import { buildProbe, runProbe } from './probes.js';
import type { ObservedRecord } from './records.js';

/** Where a lab is, and how a command is run on it. */
export interface LabUnderTest {
  /** The lab's own `sys`, `dev/vfio` and `dev/iommu`. */
  readonly sys: string;
  readonly vfio: string;
  readonly iommu: string;
  /** Comes before a command line: runs it where the lab is the machine's /sys and /dev. */
  readonly launcher: readonly string[];
}

export interface AreaRun {
  readonly kernel: readonly GoldenRecord[];
  readonly lab: readonly ObservedRecord[];
  /** What went wrong with the run itself. */
  readonly problems: readonly string[];
}

export interface Area {
  readonly name: string;
  /** Entries are paired by their path, not by order. */
  readonly byPath?: boolean;
  /** Seconds after which the probe is killed. */
  readonly limit: number;
  /** What the kernel answered to the questions that a lab can be asked. */
  readonly golden: (kernel: GoldenKernel, options: AreaOptions) => readonly GoldenRecord[];
  /** How many records there are, also of what a lab can't be asked. */
  readonly recorded: (kernel: GoldenKernel, options: AreaOptions) => number;
  /** Other recordings of the same kernel version, each as good. */
  readonly alternatives?: (kernel: GoldenKernel) => readonly (readonly GoldenRecord[])[];
  readonly run: (lab: LabUnderTest, kernel: GoldenKernel, options: AreaOptions) => Promise<AreaRun>;
}

export interface AreaOptions {
  /** Only this section. */
  readonly section?: string | undefined;
  /** Directory with newer uAPI headers. */
  readonly uapi?: string | undefined;
}

/**
 * Sections and records that a lab can't be asked for: loading modules, an oops of the kernel, uevents on the netlink socket
 * (test/device compares their texts), the machine's own mount table.
 */
const NOT_COMPARABLE_SECTIONS: readonly string[] = ['uevents-module', 'unload', 'resuming-reopen', 'uevents', 'fs'];

/** The same kernel without iommufd, or with it: what does not depend on that is as in either. */
const OTHER_CONFIGURATION: Readonly<Record<GoldenKernel, GoldenKernel>> = { k2: 'stock', stock: 'k2', k72: 's72', s72: 'k72' };

interface ProbeAreaOptions {
  readonly file: GoldenFile;
  readonly probe: Probe;
  readonly limit: number;
  /** What depends on the kernel's configuration, not on VFIO's, is right as in either. */
  readonly eitherConfiguration?: boolean;
}

function probeArea(name: string, options: ProbeAreaOptions): Area {
  const { file, probe, limit, eitherConfiguration = false } = options;
  const golden: Area['golden'] = (kernel, { section }) =>
    loadGolden(file, { kernel, sec: section }).filter((record) => !NOT_COMPARABLE_SECTIONS.includes(record.sec));
  return {
    name,
    limit,
    golden,
    recorded: (kernel, { section }) => loadGolden(file, { kernel, sec: section }).length,
    ...(eitherConfiguration ? { alternatives: (kernel) => [golden(OTHER_CONFIGURATION[kernel], {})] } : {}),
    run: async (lab, kernel, asked) => {
      const records = golden(kernel, asked);
      const answer = await probeRun(lab, probe, limit, asked);
      const answers = answer.records.filter((record) => !NOT_COMPARABLE_SECTIONS.includes(record.sec));
      return { kernel: records, lab: answers, problems: problemsOf(probe, answer) };
    },
  };
}

function probeRun(lab: LabUnderTest, probe: Probe, limit: number, options: AreaOptions): Promise<ProbeRun> {
  const only = options.section === undefined ? [] : ['--only', options.section];
  return runProbe([...lab.launcher, buildProbe(probe, options.uapi), ...only], limit);
}

function problemsOf(probe: Probe, run: ProbeRun): string[] {
  const sections = run.records.filter((record) => record.op === 'section-timeout' || record.op === 'section-killed');
  return [
    ...(run.timedOut ? [`${probe} was killed at its time limit`] : []),
    ...(run.records.length === 0 ? [`${probe} printed no records: ${run.stderr.trim()}`] : []),
    ...sections.map((record) => `${probe}: ${record.op} in section ${record.sec}`),
  ];
}

const FIRST = '11111111-1111-4111-8111-111111111111';
const SECOND = '22222222-2222-4222-8222-222222222222';

interface TreePhase {
  readonly phase: string;
  /** Type and UUID. */
  readonly create?: readonly [string, string];
  readonly remove?: string;
}
/** What is done before each walk over the tree. The phases without the mtty module have no counterpart in a lab. */
const TREE_PHASES: readonly TreePhase[] = [
  { phase: 'mtty-loaded' },
  { phase: 'one-mtty-1', create: ['mtty-1', FIRST] },
  { phase: 'mtty-1-and-mtty-2', create: ['mtty-2', SECOND] },
  { phase: 'mtty-1-removed', remove: FIRST },
  { phase: 'all-removed', remove: SECOND },
];

const treeArea: Area = {
  name: 'tree',
  byPath: true,
  limit: 60,
  golden: (kernel) => loadGolden('sysfs-tree', { kernel, phase: TREE_PHASES.map(({ phase }) => phase) }),
  recorded: (kernel) => loadGolden('sysfs-tree', { kernel }).length,
  alternatives: (kernel) => [treeArea.golden(OTHER_CONFIGURATION[kernel], {})],
  run: async (lab, kernel, options) => {
    const parent = `${lab.sys}/devices/virtual/mtty/mtty`;
    const records: ObservedRecord[] = [];
    const problems: string[] = [];
    for (const { phase, create, remove } of TREE_PHASES) {
      if (create !== undefined) writeFileSync(`${parent}/mdev_supported_types/${create[0]}/create`, create[1]);
      if (remove !== undefined) writeFileSync(`${parent}/${remove}/remove`, '1');
      const paths = ['--sys', lab.sys, '--vfio', lab.vfio, '--iommu', lab.iommu];
      const run = await runProbe([buildProbe('probe-tree', options.uapi), ...paths, '--phase', phase], 30);
      records.push(...run.records);
      problems.push(...problemsOf('probe-tree', run));
    }
    return { kernel: treeArea.golden(kernel, options), lab: records, problems };
  },
};

export const AREAS: readonly Area[] = [
  treeArea,
  probeArea('mdev', { file: 'mdev-errors', probe: 'probe-mdev', limit: 60 }),
  probeArea('kernfs', { file: 'kernfs-semantics', probe: 'probe-kernfs', limit: 60, eitherConfiguration: true }),
  probeArea('vfio', { file: 'vfio-conversation', probe: 'probe-vfio', limit: 30 }),
  probeArea('migration', { file: 'migration-fsm', probe: 'probe-mig', limit: 30 }),
];

/** Writes what a run answered, for reading by eye. */
export function saveRecords(directory: string, name: string, records: readonly ObservedRecord[]): string {
  mkdirSync(directory, { recursive: true });
  const path = `${directory}/${name}.jsonl`;
  writeFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return path;
}

/** Records that an earlier run saved. */
export function readRecords(path: string): readonly ObservedRecord[] {
  return readFileSync(path, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as ObservedRecord);
}
