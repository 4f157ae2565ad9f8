/** JSON text as QEMU writes it (qobject/json-writer.c): ", " and ": " between parts, everything beyond ASCII escaped. */
import type { Json } from './json-parser.js';
import { isJsonObject, JsonFloat } from './json-parser.js';

const SHORT: Record<string, string> = { '"': '\\"', '\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r',
  '\t': '\\t' };

function quote(text: string): string {
  // eslint-disable-next-line no-control-regex -- these are the characters to escape
  return `"${text.replace(/["\\\u0000-\u001f\u007f-\uffff]/g, (unit) => SHORT[unit]
    ?? `\\u${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`)}"`;
}

/** printf()'s `%.17g`: as many digits as tell every number from the next. */
export function formatFloat(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [, first = '', rest = '', power = ''] = /^(\d)\.(\d+)e(.+)$/.exec(Math.abs(value).toExponential(16)) ?? [];
  const exponent = Number(power);
  const digits = `${first}${rest}`;
  const point = (whole: string, fraction: string): string =>
    `${sign}${`${whole}.${fraction}`.replace(/\.0*$|(?<=\..*?)0+$/, '')}`;
  if (exponent < -4 || exponent > 16) {
    return `${point(first, rest)}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  return exponent < 0 ? point('0', `${'0'.repeat(-exponent - 1)}${digits}`)
    : point(digits.slice(0, exponent + 1), digits.slice(exponent + 1));
}

/** One value on one line. Members whose value is undefined are left out. */
export function writeJson(value: Json | undefined): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return `[${value.map(writeJson).join(', ')}]`;
  if (value instanceof JsonFloat) return formatFloat(value.value);
  if (isJsonObject(value)) {
    const members = Object.entries(value).filter(([, member]) => (member as Json | undefined) !== undefined);
    return `{${members.map(([key, member]) => `${quote(key)}: ${writeJson(member)}`).join(', ')}}`;
  }
  return typeof value === 'number' && !Number.isSafeInteger(value) ? formatFloat(value) : String(value);
}
