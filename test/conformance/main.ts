/**
 * scripts/conformance: asks a lab everything that real kernels were asked, and lists where it answers otherwise.
 * Exit code 0 when every difference is explained, 1 when not, 2 for a wrong option.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { GoldenKernel } from '../golden/load.js';
import { AREAS, readRecords, saveRecords } from './lib/areas.js';
import type { Area, AreaOptions, AreaRun } from './lib/areas.js';
import { loadExpected } from './lib/expected.js';
import type { ExpectedDifference } from './lib/expected.js';
import { startLab } from './lib/lab.js';
import { judge, lines, total } from './lib/report.js';
import type { AreaResult } from './lib/report.js';

const USAGE = `usage: scripts/conformance [--kernel 6.12|7.2] [--golden stock|k2|s72|k72] [--area NAME]... [--section NAME]
                           [--uapi DIR] [--save DIR] [--replay DIR] [--brief] [--json]

Runs the recorded probes against a fresh lab, compares the answers record by record, and lists every difference with the key
under which docs/differences.md explains it.
  --area NAME    ${AREAS.map(({ name }) => name).join(', ')}; all by default
  --golden NAME  the recording to compare with; the kernel's one with iommufd, cdev and debugfs by default
  --save DIR     keeps the lab's answers there, one file per area
  --replay DIR   compares answers that --save kept, without a lab
  --brief        lists only what is not explained
  --json         one line of JSON per unexplained difference

example: scripts/conformance --area vfio --section cdev`;

const RECORDINGS: Readonly<Record<string, GoldenKernel>> = { '6.12': 'k2', '7.2': 'k72' };
const GOLDEN: readonly string[] = ['stock', 'k2', 's72', 'k72'];

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      kernel: { type: 'string', default: '6.12' }, golden: { type: 'string' }, area: { type: 'string', multiple: true },
      section: { type: 'string' }, uapi: { type: 'string' }, save: { type: 'string' }, replay: { type: 'string' },
      brief: { type: 'boolean', default: false }, json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const recording = values.golden ?? RECORDINGS[values.kernel];
  if (recording === undefined || !GOLDEN.includes(recording)) {
    throw new TypeError(`no recording of kernel ${values.golden ?? values.kernel}`);
  }
  const unknown = values.area?.find((name) => !AREAS.some((area) => area.name === name));
  if (unknown !== undefined) throw new TypeError(`unknown area ${unknown}: use ${AREAS.map(({ name }) => name).join(', ')}`);

  const expected = loadExpected(new URL('./', import.meta.url), recording as GoldenKernel);
  const used = new Set<ExpectedDifference>();
  let unexplained = 0;
  const results: AreaResult[] = [];
  for (const area of AREAS.filter(({ name }) => values.area?.includes(name) ?? true)) {
    const golden = recording as GoldenKernel;
    const run = await runArea(area, golden, values);
    if (values.save !== undefined) saveRecords(values.save, area.name, run.lab);
    const result = judge(area, golden, run, expected, values);
    results.push(result);
    const rows = result.sections.flatMap((section) => section.unexplained);
    for (const line of values.json ? rows.map((row) => JSON.stringify(row)) : lines(result, values.brief)) console.log(line);
    for (const row of result.used) used.add(row);
    unexplained += result.problems.length + rows.length;
  }
  if (values.area === undefined && values.section === undefined && !values.json) {
    const stale = expected.filter((row) => !used.has(row) && row.sometimes !== true && (recording === 'k2' || row.recordings !== undefined));
    for (const row of stale) console.log(`explains nothing any more: ${JSON.stringify(row)}`);
  }
  if (!values.json) console.log(`kernel ${values.kernel}: ${total(results)}, ${unexplained} unexplained`);
  return unexplained === 0 ? 0 : 1;
}

interface Options extends AreaOptions {
  readonly kernel: string;
  readonly replay?: string | undefined;
}

async function runArea(area: Area, golden: GoldenKernel, options: Options): Promise<AreaRun> {
  if (options.replay !== undefined) {
    const path = `${options.replay}/${area.name}.jsonl`;
    return { kernel: area.golden(golden, options), lab: existsSync(path) ? readRecords(path) : [], problems: [] };
  }
  await using lab = await startLab(options.kernel);
  return await area.run(lab, golden, options);
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`conformance: ${(error as Error).message}`);
  process.exitCode = error instanceof TypeError ? 2 : 1;
}
