/**
 * Golden data: reads the recorded answers of real kernels (README.md beside this file) with a filter.
 *
 * A file is decompressed and parsed once per process; the records are shared, so callers must not change them.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

export type GoldenFile =
  | 'sysfs-tree' | 'mdev-errors' | 'kernfs-semantics' | 'vfio-conversation' | 'migration-fsm' | 'mdevctl' | 'kernel-differences';

/** `stock`: Debian 6.12; `k2`: 6.12 with iommufd, cdev and debugfs; `s72`, `k72`: the same two of 7.2. */
export type GoldenKernel = 'stock' | 'k2' | 's72' | 'k72';

export interface GoldenRecord {
  readonly kernel: GoldenKernel;
  /** Number in its area, in the order of the run. */
  readonly i: number;
  readonly area: string;
  readonly sec: string;
  readonly op: string;
  readonly phase?: string;
  /** The system call's value; absent for records that only observe. */
  readonly ret?: number;
  /** Errno name, "0" for success. */
  readonly errno?: string;
  /** Fields that differed between two boots of the same kernel: not to be compared. */
  readonly unstable?: readonly string[];
  /** 1 where some bytes read are uninitialised memory of the kernel. */
  readonly undefined_bytes?: number;
  readonly [field: string]: unknown;
}

/** Every given key must match: a value by equality, a list by membership. */
export interface GoldenFilter {
  readonly kernel?: GoldenKernel | undefined;
  readonly sec?: string | readonly string[] | undefined;
  readonly op?: string | readonly string[];
  readonly phase?: string | readonly string[];
  readonly [field: string]: unknown;
}

const files = new Map<GoldenFile, readonly GoldenRecord[]>();

function readAll(file: GoldenFile): readonly GoldenRecord[] {
  const known = files.get(file);
  if (known !== undefined) return known;
  const path = fileURLToPath(new URL(`${file}.jsonl.gz`, import.meta.url));
  const records = gunzipSync(readFileSync(path)).toString('utf8').split('\n')
    .filter((line) => line !== '').map((line) => JSON.parse(line) as GoldenRecord);
  files.set(file, records);
  return records;
}

/** The records of `file` that match, in recorded order. An empty result throws: a filter that misses is a mistake. */
export function loadGolden(file: GoldenFile, filter: GoldenFilter = {}): readonly GoldenRecord[] {
  const wanted = Object.entries(filter).filter(([, value]) => value !== undefined);
  const found = readAll(file).filter((record) => wanted.every(([key, value]) =>
    Array.isArray(value) ? value.includes(record[key]) : record[key] === value));
  if (found.length === 0) throw new Error(`no record in golden ${file} matches ${JSON.stringify(filter)}`);
  return found;
}

/** A field that must be a string. */
export function text(record: GoldenRecord, field: string): string {
  const value = record[field];
  if (typeof value !== 'string') throw new Error(`golden record ${record.area}/${record.sec}/${record.i} has no text ${field}`);
  return value;
}

/** A field that must be a number, also where it is recorded as "0x..". */
export function number(record: GoldenRecord, field: string): number {
  const value = record[field];
  const parsed = typeof value === 'string' ? Number(value) : value;
  if (typeof parsed !== 'number' || Number.isNaN(parsed)) {
    throw new Error(`golden record ${record.area}/${record.sec}/${record.i} has no number ${field}`);
  }
  return parsed;
}

/** A field recorded as hex digits, as bytes. */
export function hex(record: GoldenRecord, field: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text(record, field), 'hex'));
}
