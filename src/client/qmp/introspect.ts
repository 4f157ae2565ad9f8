/**
 * query-qmp-schema: the tables by which arguments are checked, in the words of QAPI introspection. Source: QEMU's
 * qapi/introspect.json, scripts/qapi/introspect.py.
 *
 * Types have no names of their own, only numbers, as QEMU's; two types of the same shape are one.
 */
import type { QmpCommand, QmpCommands } from './dispatch.js';
import type { Json } from './json-parser.js';
import type { QmpMembers, QmpObject, QmpType } from './schema.js';

type Entity = { [key: string]: Json };

/** json-type by name. All integers are one type there. */
const BUILTINS: Readonly<Record<string, string>> = {
  str: 'string', bool: 'boolean', int: 'int', number: 'number', null: 'null', any: 'value',
};
const INTEGERS: readonly QmpType[] = ['uint8', 'uint16', 'uint32', 'uint64'];
const NOTHING: QmpObject = { struct: {} };

const optional = (name: string): boolean => name.startsWith('*');
/** A declared name without the mark of optional members. */
const memberName = (name: string): string => name.replace(/^\*/, '');

class SchemaTypes {
  readonly entities: Entity[] = [];
  readonly #names = new Map<string, string>();
  #next = 0;

  /** The name of a type; its entity comes with it the first time. */
  name(type: QmpType): string {
    if (type === 'strOrNull') {
      const members = [{ type: this.name('str') }, { type: this.name('null') }];
      return this.#once(type, () => ({ members, 'meta-type': 'alternate' }));
    }
    if (typeof type === 'string') return this.#builtin(INTEGERS.includes(type) ? 'int' : type);
    if ('list' in type) {
      const element = this.name(type.list);
      return this.#once(`[${element}]`, () => ({ 'element-type': element, 'meta-type': 'array' }), `[${element}]`);
    }
    if ('enum' in type) {
      const members = (): Json => type.enum.map((name) => ({ name }));
      return this.#once(JSON.stringify(type), () => ({ 'members': members(), 'meta-type': 'enum', 'values': [...type.enum] }));
    }
    return this.#once(JSON.stringify(type), () => this.#object(type));
  }

  #builtin(name: string): string {
    return this.#once(name, () => ({ 'json-type': BUILTINS[name] ?? 'value', 'meta-type': 'builtin' }), name);
  }

  #object(type: QmpObject): Entity {
    const members = Object.entries(type.struct).map(([name, member]) => ({
      name: memberName(name), ...(optional(name) ? { default: null } : {}), type: this.name(member),
    }));
    if (!('union' in type)) return { members, 'meta-type': 'object' };
    const variants = Object.entries(type.variants).map(([value, variant]) => ({ case: value, type: this.name(variant) }));
    return { tag: type.union, variants, members, 'meta-type': 'object' };
  }

  #once(key: string, make: () => Entity, name?: string): string {
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const given = name ?? String(this.#next++);
    this.#names.set(key, given);
    this.entities.push({ name: given, ...make() });
    return given;
  }
}

/** SchemaInfo of every command and event, and of the types that they name. `negotiation`: arguments of qmp_capabilities. */
export function introspect(
  commands: QmpCommands, events: Readonly<Record<string, QmpMembers>>, negotiation: QmpMembers,
): Entity[] {
  const types = new SchemaTypes();
  const declare = (name: string, { returns, allowOob, arguments: args }: Omit<QmpCommand, 'run'>): Entity => ({
    name, 'ret-type': types.name(returns ?? NOTHING), ...(allowOob === true ? { 'allow-oob': true } : {}),
    'meta-type': 'command', 'arg-type': types.name({ struct: args ?? {} }),
  });
  const named = [declare('qmp_capabilities', { arguments: negotiation }), ...[...commands].map((entry) => declare(...entry))];
  const told = Object.entries(events).map(([name, members]): Entity =>
    ({ name, 'meta-type': 'event', 'arg-type': types.name({ struct: members }) }));
  return [...named, ...told, ...types.entities];
}

const strings: QmpType = { list: 'str' };
const features: QmpMembers = { '*features': strings };

/** What query-qmp-schema returns: SchemaInfo. */
export const SCHEMA_INFO: QmpType = {
  list: {
    union: 'meta-type',
    struct: {
      'name': 'str', 'meta-type': { enum: ['builtin', 'enum', 'array', 'object', 'alternate', 'command', 'event'] }, ...features,
    },
    variants: {
      builtin: { struct: { 'json-type': { enum: ['string', 'number', 'int', 'boolean', 'null', 'object', 'array', 'value'] } } },
      // `values` is the older form of `members`.
      enum: { struct: { members: { list: { struct: { name: 'str', ...features } } }, values: strings } },
      array: { struct: { 'element-type': 'str' } },
      object: {
        struct: {
          'members': { list: { struct: { 'name': 'str', 'type': 'str', '*default': 'any', ...features } } },
          '*tag': 'str', '*variants': { list: { struct: { case: 'str', type: 'str' } } },
        },
      },
      alternate: { struct: { members: { list: { struct: { type: 'str' } } } } },
      command: { struct: { 'arg-type': 'str', 'ret-type': 'str', '*allow-oob': 'bool' } },
      event: { struct: { 'arg-type': 'str' } },
    },
  },
};
