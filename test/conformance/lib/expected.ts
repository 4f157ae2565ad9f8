/**
 * Differences that are known and explained: rows of expected-*.jsonl. Each row names a reason, the key of an entry in
 * docs/differences.md, and says which differences it covers.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { GoldenKernel } from '../../golden/load.js';
import type { Difference } from './records.js';

export interface ExpectedDifference {
  /** Key of the entry in docs/differences.md. */
  readonly reason: string;
  /** True: the difference is not there on every machine. */
  readonly sometimes?: boolean;
  /** Recordings that the row is for; all when left out. */
  readonly recordings?: readonly GoldenKernel[];
  /**
   * Every key given must match: `area`, `sec`, `phase`, `field`, `kernel`, `lab`, or `record.<field>` of the record. A value is
   * compared as a whole; a string that starts with `~` is a regular expression over the value as text; a list: any of them.
   */
  readonly match: Readonly<Record<string, unknown>>;
}

function valueOf(difference: Difference, key: string): unknown {
  if (key.startsWith('record.')) return difference.record[key.slice('record.'.length)];
  return (difference as unknown as Record<string, unknown>)[key];
}

const asText = (value: unknown): string => typeof value === 'string' ? value : JSON.stringify(value) ?? '';

function fits(value: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) return wanted.some((one) => fits(value, one));
  if (typeof wanted === 'string' && wanted.startsWith('~')) return new RegExp(wanted.slice(1), 's').test(asText(value));
  return JSON.stringify(value) === JSON.stringify(wanted);
}

/** The first row that covers the difference. */
export function explain(difference: Difference, expected: readonly ExpectedDifference[]): ExpectedDifference | undefined {
  return expected.find(({ match }) => Object.entries(match).every(([key, wanted]) => fits(valueOf(difference, key), wanted)));
}

/**
 * The rows of the expected-*.jsonl files in a directory, those for one recording or all. A line that is empty or starts with `#`
 * is a comment.
 */
export function loadExpected(directory: URL, recording?: GoldenKernel): readonly ExpectedDifference[] {
  return readdirSync(directory).filter((name) => /^expected-.*\.jsonl$/.test(name)).sort().flatMap((name) =>
    readFileSync(new URL(name, directory), 'utf8').split('\n')
      .filter((line) => line.trim() !== '' && !line.startsWith('#'))
      .map((line) => JSON.parse(line) as ExpectedDifference))
    .filter(({ recordings }) => recording === undefined || recordings?.includes(recording) !== false);
}
