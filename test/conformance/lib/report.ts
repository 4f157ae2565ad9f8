/** A run of the harness as text: every difference with what explains it, counts per section and in all. */
import type { GoldenKernel } from '../../golden/load.js';
import type { Area, AreaOptions, AreaRun } from './areas.js';
import type { ExpectedDifference } from './expected.js';
import { explain } from './expected.js';
import type { Difference } from './records.js';
import { compareSection } from './records.js';

export interface SectionResult {
  readonly name: string;
  readonly same: number;
  readonly different: number;
  readonly unexplained: readonly Difference[];
  readonly explained: readonly ExplainedDifference[];
}

export interface ExplainedDifference {
  readonly difference: Difference;
  /** Key of the entry in docs/differences.md. */
  readonly reason: string;
}

export interface AreaResult {
  readonly area: string;
  readonly sections: readonly SectionResult[];
  /** Records of the kernel that a lab can't be asked for. */
  readonly notComparable: number;
  readonly problems: readonly string[];
  readonly used: ReadonlySet<ExpectedDifference>;
}

interface Sectioned {
  readonly sec: string;
  readonly op: string;
  readonly phase?: unknown;
}

const sectionKey = (record: Sectioned): string =>
  typeof record.phase === 'string' ? `${record.sec}/${record.phase}` : record.sec;

/** Compares all sections of an area. */
export function judge(
  area: Area, golden: GoldenKernel, run: AreaRun, expected: readonly ExpectedDifference[], options: AreaOptions = {},
): AreaResult {
  const used = new Set<ExpectedDifference>();
  const recordings = [run.kernel, ...(area.alternatives?.(golden) ?? [])];
  let compared = 0;
  const names = [...new Set([...run.kernel, ...run.lab].map(sectionKey))];
  const sections = names.map((name): SectionResult => {
    const ofSection = <R extends Sectioned>(records: readonly R[]): R[] =>
      records.filter((record) => sectionKey(record) === name && record.op !== 'klog' && record.op !== 'section-end');
    const [kernel = [], ...alternatives] = recordings.map(ofSection);
    compared += kernel.length;
    const { same, different, differences } = compareSection(kernel, ofSection(run.lab), { byPath: area.byPath, alternatives });
    const explained: ExplainedDifference[] = [];
    const unexplained = differences.filter((difference) => {
      const row = explain(difference, expected);
      if (row === undefined) return true;
      used.add(row);
      explained.push({ difference, reason: row.reason });
      return false;
    });
    return { name, same, different, unexplained, explained };
  });
  return { area: area.name, sections, notComparable: area.recorded(golden, options) - compared, problems: run.problems, used };
}

const short = (value: unknown): string => {
  const text = value === undefined ? '-' : JSON.stringify(value);
  return text.length > 160 ? `${text.slice(0, 157)}...` : text;
};

/** What a record asked, without what it answered. */
function question({ record }: Difference): string {
  const hidden = new Set(['kernel', 'i', 'area', 'sec', 'phase', 'unstable', 'op']);
  const shown = Object.entries(record).filter(([field]) => !hidden.has(field));
  const fields = shown.map(([field, value]) => `${field}=${short(value)}`);
  return `${String(record.op)} ${fields.join(' ')}`.slice(0, 300);
}

function* listed(section: string, difference: Difference, reason?: string): Generator<string> {
  yield `${section}: ${question(difference)}`;
  const explanation = reason === undefined ? '' : `  [${reason}]`;
  yield `    ${difference.field}: kernel ${short(difference.kernel)}, lab ${short(difference.lab)}${explanation}`;
}

function reasonCounts(explained: readonly ExplainedDifference[]): string {
  const counts = new Map<string, number>();
  for (const { reason } of explained) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return counts.size === 0 ? '' : ` (explained: ${[...counts].map(([reason, count]) => `${reason} ${count}`).join(', ')})`;
}

/** `brief` leaves out the differences that are explained, but not their counts. */
export function* lines(result: AreaResult, brief: boolean): Generator<string> {
  for (const problem of result.problems) yield `${result.area}: ${problem}`;
  for (const { name, unexplained, explained } of result.sections) {
    const section = `${result.area}/${name}`;
    if (!brief) for (const { difference, reason } of explained) yield* listed(section, difference, reason);
    for (const difference of unexplained) yield* listed(section, difference);
  }
  for (const { name, same, different, unexplained, explained } of result.sections) {
    yield `${result.area}/${name}: ${same} same, ${different} different, ${unexplained.length} unexplained fields`
      + reasonCounts(explained);
  }
}

/** The sum of all areas, in records. */
export function total(results: readonly AreaResult[]): string {
  const sum = (count: (result: AreaResult) => number): number => results.reduce((all, result) => all + count(result), 0);
  const records = (count: 'same' | 'different'): number =>
    sum(({ sections }) => sections.reduce((all, section) => all + section[count], 0));
  return `${records('same')} same, ${records('different')} different, ${sum(({ notComparable }) => notComparable)} not comparable`;
}
