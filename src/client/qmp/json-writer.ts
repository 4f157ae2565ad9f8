/** JSON text as QEMU writes it (qobject/json-writer.c): ", " and ": " between parts, everything beyond ASCII escaped. */
import type { Json } from './json-parser.js';

const SHORT: Record<string, string> = { '"': '\\"', '\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r',
  '\t': '\\t' };

function quote(text: string): string {
  // eslint-disable-next-line no-control-regex -- these are the characters to escape
  return `"${text.replace(/["\\\u0000-\u001f\u007f-\uffff]/g, (unit) => SHORT[unit]
    ?? `\\u${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`)}"`;
}

/** One value on one line. Members whose value is undefined are left out. */
export function writeJson(value: Json | undefined): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return `[${value.map(writeJson).join(', ')}]`;
  if (typeof value === 'object') {
    const members = Object.entries(value).filter(([, member]) => (member as Json | undefined) !== undefined);
    return `{${members.map(([key, member]) => `${quote(key)}: ${writeJson(member)}`).join(', ')}}`;
  }
  if (value === Infinity || value === -Infinity) return value > 0 ? 'inf' : '-inf';
  return String(value);
}
