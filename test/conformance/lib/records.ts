/**
 * Comparing what a lab answered with what a kernel answered: alignment of two runs of the same probe, and the differences
 * between aligned records. Pure.
 */
import type { GoldenRecord } from '../../golden/load.js';

/** A record as a probe prints it: as a golden one, without kernel and number. */
export interface ObservedRecord extends Readonly<Record<string, unknown>> {
  readonly area: string;
  readonly sec: string;
  readonly op: string;
}

export interface Difference {
  readonly area: string;
  readonly sec: string;
  readonly phase?: string;
  /** The field that differs; `(missing)`: the kernel's record has no partner; `(extra)`: the lab's has none. */
  readonly field: string;
  /** The kernel's record, or the lab's for an extra one. */
  readonly record: Readonly<Record<string, unknown>>;
  readonly kernel: unknown;
  readonly lab: unknown;
}

export interface Comparison {
  /** Records that agree in every field that can be compared. */
  readonly same: number;
  /** Records with differences. */
  readonly different: number;
  readonly differences: readonly Difference[];
}

/** Records that belong together; undefined where a side has none. */
interface Comparable {
  readonly kernels: readonly (GoldenRecord | undefined)[];
  readonly lab: ObservedRecord | undefined;
}
type Anything = Readonly<Record<string, unknown>>;

/** Never compared: the recording's own fields, and a time. */
const BOOKKEEPING = new Set(['kernel', 'i', 'area', 'sec', 'phase', 'unstable', 'undefined_bytes', 'blocked_ms']);
/** Fields that are what a call was given, not what it answered; they decide which records belong together. */
const INPUTS = [
  'op', 'path', 'what', 'when', 'who', 'kind', 'via', 'type', 'index', 'n', 'off', 'in', 'feature', 'argsz', 'from', 'variant',
  'to', 'state', 'data', 'action', 'start', 'count', 'value', 'nr', 'ext', 'fd', 'case', 'byte', 'chunk', 'extra', 'length',
  'port', 'len',
] as const;
/** How far ahead a partner is looked for when two runs part. */
const WINDOW = 80;

const keyOf = (record: Anything): string => JSON.stringify(INPUTS.map((field) => record[field] ?? null));

/** Pairs in order. */
function align(kernel: readonly GoldenRecord[], lab: readonly ObservedRecord[]): Comparable[] {
  const [left, right] = [kernel.map(keyOf), lab.map(keyOf)];
  const pairs: Comparable[] = [];
  let [i, j] = [0, 0];
  const take = (fromKernel: boolean, fromLab: boolean): void => {
    pairs.push({ kernels: fromKernel ? [kernel[i++]] : [undefined], lab: fromLab ? lab[j++] : undefined });
  };
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] !== right[j]) {
      const [skipLeft, skipRight] = nearestMeeting(left, right, i, j);
      for (let n = 0; n < skipLeft; n++) take(true, false);
      for (let n = 0; n < skipRight; n++) take(false, true);
    }
    take(i < left.length, j < right.length);
  }
  return pairs;
}

/** As align(); an answer is also compared with its partners in the alternatives. */
function pairInOrder(
  kernel: readonly GoldenRecord[], lab: readonly ObservedRecord[], alternatives: readonly (readonly GoldenRecord[])[],
): Comparable[] {
  const partners = alternatives.map((records) =>
    new Map(align(records, lab).map(({ kernels, lab: answer }) => [answer, kernels[0]])));
  return align(kernel, lab).map((pair) =>
    pair.lab === undefined ? pair : { ...pair, kernels: [...pair.kernels, ...partners.map((records) => records.get(pair.lab))] });
}

/** How many records to leave out on either side until both go on alike; 0, 0 takes the two for the same with other inputs. */
function nearestMeeting(left: readonly string[], right: readonly string[], i: number, j: number): [number, number] {
  for (let distance = 1; distance < WINDOW; distance++) {
    for (let skipRight = 0; skipRight <= distance; skipRight++) {
      const skipLeft = distance - skipRight;
      if (left[i + skipLeft] !== undefined && left[i + skipLeft] === right[j + skipRight]) return [skipLeft, skipRight];
    }
  }
  return [0, 0];
}

/** Entries of a tree have a path of their own: they are paired by it, wherever they come. */
function pairByPath(
  kernel: readonly GoldenRecord[], lab: readonly ObservedRecord[], alternatives: readonly (readonly GoldenRecord[])[],
): Comparable[] {
  const identity = (record: Anything): string => JSON.stringify([record.op, record.path ?? [record.file, record.line]]);
  const index = <R extends Anything>(records: readonly R[]): Map<string, R> =>
    new Map(records.map((record) => [identity(record), record]));
  const recordings = [kernel, ...alternatives].map(index);
  const answers = index(lab);
  const names = new Set([...recordings, answers].flatMap((records) => [...records.keys()]));
  return [...names].map((name) => ({ kernels: recordings.map((records) => records.get(name)), lab: answers.get(name) }));
}

/** The differences of one record: what is as in one of the recordings is none. */
function differencesOf({ kernels, lab }: Comparable): Difference[] {
  const recorded = kernels.filter((record) => record !== undefined);
  const at = recorded[0] ?? lab;
  if (at === undefined) return [];
  const phase = typeof at.phase === 'string' ? { phase: at.phase } : {};
  const base = { area: at.area, sec: at.sec, ...phase, record: at };
  if (recorded.length === 0) return [{ ...base, field: '(extra)', kernel: undefined, lab: undefined }];
  if (lab === undefined) {
    return recorded.length < kernels.length ? [] : [{ ...base, field: '(missing)', kernel: undefined, lab: undefined }];
  }
  const skipped = new Set([...BOOKKEEPING, ...recorded.flatMap((record) => notComparable(record))]);
  const value = (record: Anything, field: string): string | undefined => JSON.stringify(record[field]);
  return [...new Set([...recorded, lab].flatMap((record) => Object.keys(record)))]
    .filter((field) => !skipped.has(field) && !recorded.some((record) => value(record, field) === value(lab, field)))
    .map((field) => ({ ...base, field, kernel: at[field], lab: lab[field] }));
}

const notComparable = (record: GoldenRecord): readonly string[] =>
  [...(record.unstable ?? []), ...(record.undefined_bytes === undefined ? [] : ['out'])];

export interface CompareOptions {
  /** Entries are paired by their path, not by order. */
  readonly byPath?: boolean | undefined;
  /** Other recordings, each as good as the first. */
  readonly alternatives?: readonly (readonly GoldenRecord[])[] | undefined;
}

/** Compares one section of one phase. */
export function compareSection(
  kernel: readonly GoldenRecord[], lab: readonly ObservedRecord[], options: CompareOptions = {},
): Comparison {
  const alternatives = options.alternatives ?? [];
  const pairs = options.byPath === true ? pairByPath(kernel, lab, alternatives) : pairInOrder(kernel, lab, alternatives);
  let [same, different] = [0, 0];
  const differences: Difference[] = [];
  for (const pair of pairs) {
    const found = differencesOf(pair);
    if (found.length === 0) same++;
    else different++;
    differences.push(...found);
  }
  return { same, different, differences };
}
