/** Migration parameters: a table of name, type, default and range. Source: QEMU's migration/options.c: migrate_params_check(). */
import { QmpError } from '../qmp/error.js';
import type { Json } from '../qmp/json-parser.js';
import type { QmpMembers, QmpType } from '../qmp/schema.js';

interface Row {
  readonly type: QmpType;
  /** Undefined: not listed before it was set. */
  readonly default?: string | number | boolean;
  /** Text of the error for a value that is out of range; `true` where it is in range. */
  readonly check?: ((value: number, all: (name: string) => number) => true | string) | undefined;
}

const within = (name: string, low: number, high: number, kind = 'a value between', join = 'and'): Row['check'] =>
  (value) => (value >= low && value <= high) || `Parameter '${name}' expects ${kind} ${low} ${join} ${high}`;
const percent = (name: string, high: number): Row['check'] => within(name, 1, high, 'an integer in the range of', 'to');
// As QEMU is built where it has no library for the other ones.
const compression = ['none', 'zlib', 'zstd'];
/** Of block devices, of which there are none. */
const BITMAP_ALIASES: QmpMembers = {
  'node-name': 'str', 'alias': 'str',
  'bitmaps': { list: { struct: { 'name': 'str', 'alias': 'str', '*transform': { struct: { '*persistent': 'bool' } } } } },
};
/** ms */
const MAX_DOWNTIME = 2_000_000;

/** In the order in which QEMU checks them. */
export const PARAMETERS: Readonly<Record<string, Row>> = {
  'announce-initial': { type: 'uint64', default: 50, check: within('announce_initial', 0, 100_000) },
  'announce-max': { type: 'uint64', default: 550, check: within('announce_max', 0, 100_000) },
  'announce-rounds': { type: 'uint64', default: 5, check: within('announce_rounds', 0, 1000) },
  'announce-step': { type: 'uint64', default: 100, check: (value) => (value >= 1 && value <= 10_000)
    || "Parameter 'announce_step' expects a value between 0 and 10000" },
  'throttle-trigger-threshold': { type: 'uint8', default: 50, check: percent('throttle_trigger_threshold', 100) },
  'cpu-throttle-initial': { type: 'uint8', default: 20, check: percent('cpu_throttle_initial', 99) },
  'cpu-throttle-increment': { type: 'uint8', default: 10, check: percent('cpu_throttle_increment', 99) },
  'cpu-throttle-tailslow': { type: 'bool', default: false },
  'tls-creds': { type: 'strOrNull', default: '' },
  'tls-hostname': { type: 'strOrNull', default: '' },
  'tls-authz': { type: 'strOrNull', default: '' },
  'max-bandwidth': { type: 'uint64', default: 128 << 20 },
  'avail-switchover-bandwidth': { type: 'uint64', default: 0 },
  'downtime-limit': {
    type: 'uint64', default: 300,
    check: (value) => value <= MAX_DOWNTIME
      || "Parameter 'downtime_limit' expects an integer in the range of 0 to (2000 * 1000) ms",
  },
  'x-checkpoint-delay': { type: 'uint32', default: 20_000 },
  'multifd-channels': { type: 'uint8', default: 2, check: within('multifd_channels', 1, 255) },
  'multifd-compression': { type: { enum: compression }, default: 'none' },
  'multifd-zlib-level': { type: 'uint8', default: 1, check: within('multifd_zlib_level', 0, 9) },
  'multifd-qatzip-level': { type: 'uint8', default: 1, check: within('multifd_qatzip_level', 1, 9) },
  'multifd-zstd-level': { type: 'uint8', default: 1, check: within('multifd_zstd_level', 0, 20) },
  'xbzrle-cache-size': {
    type: 'uint64', default: 64 << 20,
    check: (value) => (value >= 4096 && Number.isInteger(Math.log2(value)))
      || "Parameter 'xbzrle_cache_size' expects a power of two no less than the target page size",
  },
  'max-postcopy-bandwidth': { type: 'uint64', default: 0 },
  'max-cpu-throttle': {
    type: 'uint8', default: 99,
    check: (value, all) => (value >= all('cpu-throttle-initial') && value <= 99)
      || "Parameter 'max_cpu_throttle' expects an integer in the range of cpu_throttle_initial to 99",
  },
  'block-bitmap-mapping': { type: { list: { struct: BITMAP_ALIASES } } },
  'x-vcpu-dirty-limit-period': { type: 'uint64', default: 1000, check: within('x-vcpu-dirty-limit-period', 1, 1000) },
  'vcpu-dirty-limit': { type: 'uint64', default: 1, check: (value) => value >= 1
    || "Parameter 'vcpu_dirty_limit' must be greater than 1 MB/s" },
  'mode': { type: { enum: ['normal', 'cpr-reboot', 'cpr-transfer'] }, default: 'normal' },
  'zero-page-detection': { type: { enum: ['none', 'legacy', 'multifd'] }, default: 'multifd' },
  'direct-io': { type: 'bool', default: false },
};

/** For the command's schema. */
export const PARAMETER_MEMBERS: QmpMembers = Object.fromEntries(Object.entries(PARAMETERS).map(([name, { type }]) =>
  [`*${name}`, type]));

/** As query-migrate-parameters has them: what was never set is left out, and null has become ''. */
export const PARAMETER_VALUES: QmpMembers = Object.fromEntries(Object.entries(PARAMETERS).map(([name, { type }]) =>
  [`*${name}`, type === 'strOrNull' ? 'str' : type]));

/** Unsigned, however it was written. */
const unsigned = (value: number | bigint): number | bigint => (value < 0 ? BigInt.asUintN(64, BigInt(value)) : value);

export class Parameters {
  readonly #values = new Map<string, Json>();

  constructor() {
    for (const [name, row] of Object.entries(PARAMETERS)) if (row.default !== undefined) this.#values.set(name, row.default);
  }

  /** All or none. Throws QmpError. */
  set(changes: Readonly<Record<string, Json>>): void {
    const values = new Map(this.#values);
    for (const [name, value] of Object.entries(changes)) {
      values.set(name, value === null ? '' : typeof value === 'number' || typeof value === 'bigint' ? unsigned(value) : value);
    }
    const all = (name: string): number => Number(values.get(name));
    for (const [name, { check }] of Object.entries(PARAMETERS)) {
      const wrong = check?.(all(name), all);
      if (typeof wrong === 'string') throw new QmpError(wrong);
    }
    for (const [name, value] of values) this.#values.set(name, value);
  }

  list(): Record<string, Json> {
    return Object.fromEntries(this.#values);
  }
  number(name: 'max-bandwidth' | 'avail-switchover-bandwidth' | 'downtime-limit'): number {
    return Number(this.#values.get(name));
  }
  get mode(): 'normal' | 'cpr-reboot' | 'cpr-transfer' {
    return this.#values.get('mode') as 'normal';
  }
}
