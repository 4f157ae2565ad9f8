/**
 * Comparing what a lab answered with what a kernel answered: alignment of two runs of the same probe, and the differences
 * between aligned records. Pure.
 */
import type { GoldenRecord } from '../../golden/load.js';

/** A record as a probe prints it: as a golden one, without kernel and number. */
export type ObservedRecord = Readonly<Record<string, unknown>> & { readonly area: string; readonly sec: string; readonly op: string };

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

/** Records that belong together; one side is undefined where a record has no partner. */
type Pair = readonly [GoldenRecord | undefined, ObservedRecord | undefined];
type Anything = Readonly<Record<string, unknown>>;

/** Never compared: the recording's own fields, and a time. */
const BOOKKEEPING = new Set(['kernel', 'i', 'area', 'sec', 'phase', 'unstable', 'undefined_bytes', 'blocked_ms']);
/** Fields that are what a call was given, not what it answered; they decide which records belong together. */
const INPUTS = [
  'op', 'path', 'what', 'when', 'who', 'kind', 'via', 'type', 'index', 'n', 'off', 'in', 'feature', 'argsz', 'from', 'variant', 'to',
  'state', 'data', 'action', 'start', 'count', 'value', 'nr', 'ext', 'fd', 'case', 'byte', 'chunk', 'extra', 'length', 'port', 'len',
] as const;
/** How far ahead a partner is looked for when two runs part. */
const WINDOW = 80;

const keyOf = (record: Anything): string => JSON.stringify(INPUTS.map((field) => record[field] ?? null));

/** Pairs in order. */
export function align(kernel: readonly GoldenRecord[], lab: readonly ObservedRecord[]): Pair[] {
  const [left, right] = [kernel.map(keyOf), lab.map(keyOf)];
  const pairs: Pair[] = [];
  let [i, j] = [0, 0];
  while (i < left.length && j < right.length) {
    if (left[i] !== right[j]) {
      const [skipLeft, skipRight] = nearestMeeting(left, right, i, j);
      for (let n = 0; n < skipLeft; n++) pairs.push([kernel[i++], undefined]);
      for (let n = 0; n < skipRight; n++) pairs.push([undefined, lab[j++]]);
    }
    if (i < left.length && j < right.length) pairs.push([kernel[i++], lab[j++]]);
  }
  while (i < left.length) pairs.push([kernel[i++], undefined]);
  while (j < right.length) pairs.push([undefined, lab[j++]]);
  return pairs;
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
export function alignByPath(kernel: readonly GoldenRecord[], lab: readonly ObservedRecord[]): Pair[] {
  const identity = (record: Anything): string => JSON.stringify([record.op, record.path ?? record.line]);
  const labs = new Map(lab.map((record) => [identity(record), record]));
  const pairs = kernel.map((record): Pair => {
    const found = labs.get(identity(record));
    labs.delete(identity(record));
    return [record, found];
  });
  return [...pairs, ...[...labs.values()].map((record): Pair => [undefined, record])];
}

/** The differences of one pair. */
function differencesOf(kernel: GoldenRecord | undefined, lab: ObservedRecord | undefined): Difference[] {
  const at = kernel ?? lab;
  if (at === undefined) return [];
  const phase = typeof at.phase === 'string' ? { phase: at.phase } : {};
  const base = { area: at.area, sec: at.sec, ...phase, record: at };
  if (lab === undefined) return [{ ...base, field: '(missing)', kernel: undefined, lab: undefined }];
  if (kernel === undefined) return [{ ...base, field: '(extra)', kernel: undefined, lab: undefined }];
  const left: Anything = kernel;
  const right: Anything = lab;
  const skipped = new Set([...BOOKKEEPING, ...(kernel.unstable ?? []), ...(kernel.undefined_bytes === undefined ? [] : ['out'])]);
  return [...new Set([...Object.keys(left), ...Object.keys(right)])]
    .filter((field) => !skipped.has(field) && JSON.stringify(left[field]) !== JSON.stringify(right[field]))
    .map((field) => ({ ...base, field, kernel: left[field], lab: right[field] }));
}

/** Compares one section of one phase. */
export function compareSection(kernel: readonly GoldenRecord[], lab: readonly ObservedRecord[], byPath = false): Comparison {
  let [same, different] = [0, 0];
  const differences: Difference[] = [];
  for (const pair of byPath ? alignByPath(kernel, lab) : align(kernel, lab)) {
    const found = differencesOf(...pair);
    if (found.length === 0) same++;
    else different++;
    differences.push(...found);
  }
  return { same, different, differences };
}
