/** Options of the driver as a lab file or a command line has them: words and numbers that were not checked by anybody. */
import { isErrno } from '../../abi/errno.js';
import type { ApAdapterOptions, ApHostOptions } from './ap-host.js';
import type { ApMask } from './ap-mask.js';
import { ALL_BITS, parseMaskChange } from './ap-mask.js';
import type { VfioApOptions } from './index.js';
import { AP_CARD_TYPES } from './hardware.js';

/** By key: what it becomes. `what` is for the message. */
const PARSERS: Readonly<Record<string, (value: unknown, what: string) => VfioApOptions>> = {
  series: (value, what) => ({ series: oneOf(value, ['v1'], what) }),
  initialState: (value, what) => ({ initialState: oneOf(value, ['RUNNING', 'STOP'], what) }),
  adapters: (value, what) => ({ ap: { adapters: listOf(value).map((each) => parseAdapter(each, what)) } }),
  domains: (value, what) => ({ ap: { domains: listOf(value).map((each) => parseNumber(each, what)) } }),
  controlDomains: (value, what) => ({ ap: { controlDomains: listOf(value).map((each) => parseNumber(each, what)) } }),
  maxAdapter: (value, what) => ({ ap: { maxAdapter: parseNumber(value, what) } }),
  maxDomain: (value, what) => ({ ap: { maxDomain: parseNumber(value, what) } }),
  apmask: (value, what) => ({ ap: { apmask: parseMask(value, what) } }),
  aqmask: (value, what) => ({ ap: { aqmask: parseMask(value, what) } }),
};

const OPTION_NAMES = Object.keys(PARSERS).join(', ');

/**
 * `series: v1`, `initialState: STOP`, and the AP bus: `adapters`, `domains`, `controlDomains` (numbers, or words with plus signs
 * between: `4+5+0x47`; an adapter can be { id, type, functions }), `maxAdapter`, `maxDomain`, `apmask`, `aqmask` (as
 * written to the file of that name). Throws RangeError, with a sentence for the user, for an unknown key and for a
 * value that makes no sense.
 */
export function parseVfioApOptions(given: Readonly<Record<string, unknown>>): VfioApOptions {
  let options: VfioApOptions = {};
  let ap: ApHostOptions = {};
  for (const [key, value] of Object.entries(given)) {
    const parse = Object.hasOwn(PARSERS, key) ? PARSERS[key] : undefined;
    if (parse === undefined) throw new RangeError(`driver vfio_ap has no option '${key}': use ${OPTION_NAMES}`);
    const parsed = parse(value, key);
    options = { ...options, ...parsed };
    ap = { ...ap, ...parsed.ap };
  }
  return { ...options, ap };
}

function oneOf<const T extends string>(value: unknown, words: readonly T[], what: string): T {
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw new RangeError(`${what} of driver vfio_ap is one of ${words.join(', ')}, not '${String(value)}'`);
}

/** An array as it is; a word of a command line in its parts. */
function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return typeof value === 'string' ? value.split('+') : [value];
}

function parseNumber(value: unknown, what: string): number {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= 0) return number;
  throw new RangeError(`${what} of driver vfio_ap: '${String(value)}' is no number`);
}

function parseAdapter(value: unknown, what: string): ApAdapterOptions {
  if (typeof value !== 'object' || value === null) return { id: parseNumber(value, what) };
  const { id, type, functions } = value as Readonly<Record<string, unknown>>;
  return {
    id: parseNumber(id, `${what}.id`),
    type: type === undefined ? undefined : oneOf(type, AP_CARD_TYPES, `${what}.type`),
    functions: functions === undefined ? undefined : parseNumber(functions, `${what}.functions`),
  };
}

function parseMask(value: unknown, what: string): ApMask {
  try {
    return parseMaskChange(String(value), ALL_BITS);
  } catch (error) {
    if (!isErrno(error)) throw error;
    const sentence = `${what} of driver vfio_ap: '${String(value)}' is no mask; use 0xffff... or changes such as -5,-6`;
    throw new RangeError(sentence, { cause: error });
  }
}
