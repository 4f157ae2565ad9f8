/**
 * Argument types of QMP commands, and their checks with QEMU's texts (qapi/qobject-input-visitor.c).
 *
 * Members are visited in declaration order; what is left over is unexpected.
 */
import { QmpError } from './error.js';
import type { Json } from './json-parser.js';
import { isJsonObject, JsonFloat } from './json-parser.js';

export type QmpType =
  | 'str' | 'strOrNull' | 'bool' | 'int' | 'uint8' | 'uint16' | 'uint32' | 'uint64' | 'number' | 'null' | 'any'
  | { readonly enum: readonly string[] }
  | { readonly list: QmpType }
  | QmpObject;

export type QmpObject =
  | { readonly struct: QmpMembers }
  /** The member `union`, an enum, says which further members there are. */
  | { readonly struct: QmpMembers; readonly union: string; readonly variants: Readonly<Record<string, QmpObject>> };

/** A name with a leading `*` is optional, as in QEMU's schemas. */
export type QmpMembers = Readonly<Record<string, QmpType>>;

const wrong = (path: string, expected: string): QmpError =>
  new QmpError(`Invalid parameter type for '${path}', expected: ${expected}`);
const isInteger = (value: Json): value is number | bigint =>
  typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
const inRange = (value: number | bigint, low: bigint, high: bigint): boolean => BigInt(value) >= low && BigInt(value) <= high;

/** Throws QmpError where `value` does not have the type. `name` is the last part of the path: enums and small integers are named by it alone. */
function checkValue(value: Json, type: QmpType, path: string, name: string): void {
  switch (type) {
    case 'any': return;
    case 'null': if (value !== null) throw wrong(path, 'null'); return;
    case 'str': if (typeof value !== 'string') throw wrong(path, 'string'); return;
    case 'strOrNull': if (typeof value !== 'string' && value !== null) throw wrong(path, 'StrOrNull'); return;
    case 'bool': if (typeof value !== 'boolean') throw wrong(path, 'boolean'); return;
    case 'number':
      if (typeof value !== 'number' && typeof value !== 'bigint' && !(value instanceof JsonFloat)) throw wrong(path, 'number');
      return;
    case 'int': if (!isInteger(value) || !inRange(value, -(1n << 63n), (1n << 63n) - 1n)) throw wrong(path, 'integer'); return;
    // A negative number is taken modulo 2^64, as old clients rely on; then the smaller types look at it.
    case 'uint8': case 'uint16': case 'uint32': case 'uint64':
      if (!isInteger(value) || !inRange(value, -(1n << 63n), (1n << 64n) - 1n)) {
        throw new QmpError(`Parameter '${path}' expects uint64`);
      }
      if (type !== 'uint64' && !inRange(value, 0n, (1n << BigInt(type.slice('uint'.length))) - 1n)) {
        throw new QmpError(`Parameter '${name}' expects ${type}_t`);
      }
      return;
    default:
  }
  if ('enum' in type) {
    if (typeof value !== 'string') throw wrong(path, 'string');
    if (!type.enum.includes(value)) throw new QmpError(`Parameter '${name}' does not accept value '${value}'`);
  } else if ('list' in type) {
    if (!Array.isArray(value)) throw wrong(path, 'array');
    // An item has no name: that is how QEMU prints it.
    value.forEach((item, index) => checkValue(item, type.list, `${path}[${index}]`, 'null'));
  } else {
    if (!isJsonObject(value)) throw wrong(path, 'object');
    checkMembers(value, membersOf(value, type), `${path}.`);
  }
}

/** Of a union those of the variant that the value is; what is no variant of it fails as a value of its tag. */
function membersOf(value: { readonly [key: string]: Json }, type: QmpObject): QmpMembers {
  if (!('union' in type)) return type.struct;
  const tag = value[type.union];
  const variant = typeof tag === 'string' && Object.hasOwn(type.variants, tag) ? type.variants[tag] : undefined;
  return variant === undefined ? type.struct : { ...type.struct, ...membersOf(value, variant) };
}

/** Throws QmpError for a missing, mistyped or unexpected member. */
export function checkMembers(values: { readonly [key: string]: Json }, members: QmpMembers, prefix = ''): void {
  const known = new Set<string>();
  for (const [declared, type] of Object.entries(members)) {
    const optional = declared.startsWith('*');
    const name = optional ? declared.slice(1) : declared;
    known.add(name);
    const value = values[name];
    if (value !== undefined) checkValue(value, type, prefix + name, name);
    else if (!optional) throw new QmpError(`Parameter '${prefix}${name}' is missing`);
  }
  const extra = Object.keys(values).find((name) => !known.has(name));
  if (extra !== undefined) throw new QmpError(`Parameter '${prefix}${extra}' is unexpected`);
}
