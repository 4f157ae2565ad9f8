/** A run of the harness as text: counts per section, each unexplained difference, explained ones by reason. */
import type { GoldenKernel } from '../../golden/load.js';
import type { Area, AreaRun } from './areas.js';
import type { ExpectedDifference } from './expected.js';
import { explain } from './expected.js';
import type { Difference } from './records.js';
import { compareSection } from './records.js';

export interface SectionResult {
  readonly name: string;
  readonly same: number;
  readonly different: number;
  readonly unexplained: readonly Difference[];
  /** Differences by reason. */
  readonly explained: ReadonlyMap<string, number>;
}

export interface AreaResult {
  readonly area: string;
  readonly sections: readonly SectionResult[];
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
export function judge(area: Area, golden: GoldenKernel, run: AreaRun, expected: readonly ExpectedDifference[]): AreaResult {
  const used = new Set<ExpectedDifference>();
  const recordings = [run.kernel, ...(area.alternatives?.(golden) ?? [])];
  const names = [...new Set([...run.kernel, ...run.lab].map(sectionKey))];
  const sections = names.map((name): SectionResult => {
    const ofSection = <R extends Sectioned>(records: readonly R[]): R[] =>
      records.filter((record) => sectionKey(record) === name && record.op !== 'klog' && record.op !== 'section-end');
    const [kernel = [], ...alternatives] = recordings.map(ofSection);
    const { same, different, differences } = compareSection(kernel, ofSection(run.lab), { byPath: area.byPath, alternatives });
    const explained = new Map<string, number>();
    const unexplained = differences.filter((difference) => {
      const row = explain(difference, expected);
      if (row === undefined) return true;
      used.add(row);
      explained.set(row.reason, (explained.get(row.reason) ?? 0) + 1);
      return false;
    });
    return { name, same, different, unexplained, explained };
  });
  return { area: area.name, sections, problems: run.problems, used };
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

export function* lines(result: AreaResult): Generator<string> {
  for (const problem of result.problems) yield `${result.area}: ${problem}`;
  for (const { name, unexplained } of result.sections) {
    for (const difference of unexplained) {
      yield `${result.area}/${name}: ${question(difference)}`;
      yield `    ${difference.field}: kernel ${short(difference.kernel)}, lab ${short(difference.lab)}`;
    }
  }
  for (const { name, same, different, unexplained, explained } of result.sections) {
    const reasons = [...explained].map(([reason, count]) => `${reason} ${count}`).join(', ');
    yield `${result.area}/${name}: ${same} same, ${different} different, ${unexplained.length} unexplained fields`
      + (reasons === '' ? '' : ` (explained: ${reasons})`);
  }
}
