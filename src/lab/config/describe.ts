/** What the schema found, as sentences: what was expected, and what is there. */
import type { BaseIssue } from 'valibot';
import type { LabFileProblem } from './problem.js';
import type { LabFileSource } from './source.js';

const LONGEST = 40;

/** A value as the user would recognise it. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'object' && !Array.isArray(value)) return 'a mapping';
  const text = JSON.stringify(value);
  if (Array.isArray(value) && text.length > LONGEST) return 'a list';
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
}

/** Of a list in a mapping's place the library says that its indexes are no keys. */
export function problemOf(issue: BaseIssue<unknown>, source: LabFileSource): LabFileProblem {
  const path = (issue.path ?? []).map(({ key, input }) => (Array.isArray(input) ? Number(key) : String(key)));
  if (issue.type !== 'strict_object') return source.problem(path, `expected ${issue.message}, not ${shown(issue.input)}`);
  const keys = issue.message;
  const parent = issue.path?.at(-1)?.input;
  if (Array.isArray(parent)) {
    return source.problem(path.slice(0, -1), `expected a mapping with some of ${keys}, not ${shown(parent)}`);
  }
  if (issue.expected === 'never') return source.problem(path, `no such key; expected one of ${keys}`, true);
  if (issue.expected === 'Object') {
    return source.problem(path, `expected a mapping with some of ${keys}, not ${shown(issue.input)}`);
  }
  return source.problem(path, 'expected this key, which is missing here');
}
