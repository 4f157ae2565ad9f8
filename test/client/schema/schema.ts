/** What query-qmp-schema returns, to be asked: QEMU's or ours. */
interface Member {
  readonly name: string;
  readonly type: string;
  /** Present (null) where the member is optional. */
  readonly default?: null;
}

export interface Entity {
  readonly 'name': string;
  readonly 'meta-type': 'builtin' | 'enum' | 'array' | 'object' | 'alternate' | 'command' | 'event';
  readonly 'json-type'?: string;
  readonly 'arg-type'?: string;
  readonly 'ret-type'?: string;
  readonly 'element-type'?: string;
  readonly 'members'?: readonly Member[];
  readonly 'values'?: readonly string[];
  readonly 'tag'?: string;
  readonly 'variants'?: readonly { readonly case: string; readonly type: string }[];
}

const JSON_TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  int: Number.isInteger,
  number: (value) => typeof value === 'number',
  null: (value) => value === null,
  value: () => true,
};
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export class Schema {
  readonly #entities: ReadonlyMap<string, Entity>;

  constructor(entities: readonly Entity[]) {
    this.#entities = new Map(entities.map((entity) => [entity.name, entity]));
    if (this.#entities.size !== entities.length) throw new Error('two entities have one name');
  }

  find(name: string): Entity | undefined {
    return this.#entities.get(name);
  }
  get(name: string): Entity {
    const found = this.find(name);
    if (found === undefined) throw new Error(`the schema has no ${name}`);
    return found;
  }
  names(kind: Entity['meta-type']): string[] {
    return [...this.#entities.values()].filter((entity) => entity['meta-type'] === kind).map(({ name }) => name);
  }
  args(command: string): Entity {
    return this.get(this.get(command)['arg-type'] ?? '');
  }

  /** Members of an object; of a union with `tag` also those of that case. */
  members(type: Entity, tag?: unknown): readonly Member[] {
    const variant = type.variants?.find((one) => one.case === tag);
    return [...type.members ?? [], ...(variant === undefined ? [] : this.get(variant.type).members ?? [])];
  }

  /** What is wrong with a value; nothing where it is as the type says. */
  problems(value: unknown, name: string, path = ''): string[] {
    const type = this.get(name);
    const wrong = [`${path} is no ${name} (${type['meta-type']}): ${JSON.stringify(value)}`];
    switch (type['meta-type']) {
      case 'builtin': return JSON_TYPES[type['json-type'] ?? '']?.(value) === true ? [] : wrong;
      case 'enum': return (type.values ?? []).includes(String(value)) ? [] : wrong;
      case 'alternate':
        return (type.members ?? []).some((member) => this.problems(value, member.type).length === 0) ? [] : wrong;
      case 'array':
        if (!Array.isArray(value)) return wrong;
        return value.flatMap((item, n) => this.problems(item, type['element-type'] ?? '', `${path}[${n}]`));
      default:
    }
    if (!isRecord(value)) return wrong;
    const members = new Map(this.members(type, value[type.tag ?? '']).map((member) => [member.name, member]));
    const extra = Object.keys(value).filter((key) => !members.has(key)).map((key) => `${path}.${key} is not in ${name}`);
    return [...extra, ...[...members.values()].flatMap((member) => {
      if (!(member.name in value)) return 'default' in member ? [] : [`${path}.${member.name} is missing`];
      return this.problems(value[member.name], member.type, `${path}.${member.name}`);
    })];
  }

  /** A value of the type, with every member that it may have. */
  sample(name: string): unknown {
    const type = this.get(name);
    switch (type['meta-type']) {
      case 'builtin': return { string: 'x', boolean: true, int: 1, number: 1.5, null: null, value: 1 }[type['json-type'] ?? ''];
      case 'enum': return type.values?.[0];
      case 'alternate': return this.sample(type.members?.[0]?.type ?? '');
      case 'array': return [this.sample(type['element-type'] ?? '')];
      default: return this.#sampleObject(type);
    }
  }

  #sampleObject(type: Entity): Record<string, unknown> {
    const own = Object.fromEntries((type.members ?? []).map((member) => [member.name, this.sample(member.type)]));
    const variant = type.variants?.find((one) => one.case === own[type.tag ?? '']);
    return { ...own, ...(variant === undefined ? {} : this.#sampleObject(this.get(variant.type))) };
  }

  /** Where `other` says something else of what is in this one: members, whether they are optional, types, values of enums. */
  against(other: Schema, mine: string, theirs: string, path: string): string[] {
    const [a, b] = [this.get(mine), other.get(theirs)];
    if (b['meta-type'] === 'builtin' && b['json-type'] === 'value') return [];
    if (a['meta-type'] !== b['meta-type']) return [`${path}: ${a['meta-type']}, there ${b['meta-type']}`];
    switch (a['meta-type']) {
      case 'builtin': return a['json-type'] === b['json-type'] ? [] : [`${path}: ${a['json-type']}, there ${b['json-type']}`];
      case 'enum':
        return (a.values ?? []).filter((value) => b.values?.includes(value) !== true).map((value) => `${path}: ${value}`);
      case 'array': return this.against(other, a['element-type'] ?? '', b['element-type'] ?? '', `${path}[]`);
      case 'alternate': return (a.members ?? []).flatMap((member, n) =>
        this.against(other, member.type, b.members?.[n]?.type ?? '', path));
      default:
    }
    const members = (a.members ?? []).flatMap((member) => {
      const same = b.members?.find(({ name }) => name === member.name);
      const where = `${path}.${member.name}`;
      if (same === undefined) return [`${where}: not there`];
      const need = ('default' in member) === ('default' in same) ? [] : [`${where}: optional on one side`];
      return [...need, ...this.against(other, member.type, same.type, where)];
    });
    const variants = (a.variants ?? []).flatMap((variant) => {
      const same = b.variants?.find((one) => one.case === variant.case);
      return same === undefined ? [`${path}(${variant.case}): not there`]
        : this.against(other, variant.type, same.type, `${path}(${variant.case})`);
    });
    return [...members, ...variants];
  }
}
