/** The object tree, as far as clients look at it. Source: QEMU's qom/qom-qmp-cmds.c. */
import { QmpError } from '../qmp/error.js';
import type { Json } from '../qmp/json-parser.js';
import type { OnOffAuto } from '../vm/device.js';
import type { CommandContext, CommandTable } from './context.js';
import { text } from './context.js';
import { onOffAuto } from './properties.js';
import { PROPERTIES_INFO } from './types.js';

interface QomObject {
  readonly type: string;
  readonly properties: ReadonlyMap<string, { readonly type: string; readonly value: Json }>;
  /** Names and types of children. */
  readonly children: ReadonlyMap<string, string>;
}

const plain = (type: string, children: readonly (readonly [string, string])[] = []): QomObject =>
  ({ type, properties: new Map([['type', { type: 'string', value: type }]]), children: new Map(children) });

/** Objects that are no devices. */
export const CONTAINERS: readonly string[] = ['/', '/machine', '/machine/peripheral', '/machine/peripheral-anon'];

/** A path without empty parts. */
export const wholePath = (path: string): string => `/${path.split('/').filter((part) => part !== '').join('/')}`;

export function qomCommands({ vm }: CommandContext): CommandTable {
  const tree = (): Map<string, QomObject> => {
    const named = vm.devices.filter(({ id }) => id !== '');
    const anonymous = vm.devices.filter(({ id }) => id === '');
    const last = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
    const children = (devices: typeof named): [string, string][] => devices.map(({ qomPath, api }) => [last(qomPath), api]);
    return new Map([
      ['/', plain('container', [['machine', 'mdevsim-machine']])],
      ['/machine', plain('mdevsim-machine', [['peripheral', 'container'], ['peripheral-anon', 'container']])],
      ['/machine/peripheral', plain('container', children(named))],
      ['/machine/peripheral-anon', plain('container', children(anonymous))],
      ...vm.devices.map((device): [string, QomObject] =>
        [device.qomPath, { type: device.api, properties: device.properties(), children: new Map() }]),
    ]);
  };
  /** object_resolve_path(): a path that begins with `/` is whole, of any other the end counts. */
  const resolve = (path: Json | undefined): readonly string[] => {
    const named = text(path);
    const wanted = wholePath(named);
    const whole = named.startsWith('/');
    return named === '' ? [] : [...tree().keys()].filter((one) => (whole ? one === wanted : one.endsWith(wanted)));
  };
  /** The only one there is. Throws QmpError. */
  const find = (path: Json | undefined): QomObject & { readonly path: string } => {
    const [found = '', second] = resolve(path);
    const object = second === undefined ? tree().get(found) : undefined;
    if (object === undefined) throw new QmpError(`Device '${text(path)}' not found`, 'DeviceNotFound');
    return { ...object, path: found };
  };
  return {
    'qom-list': {
      returns: PROPERTIES_INFO,
      arguments: { path: 'str' },
      run: ({ path }) => {
        // The others say that there is none.
        if (resolve(path).length > 1) throw new QmpError(`Path '${text(path)}' is ambiguous`);
        const { properties, children } = find(path);
        return [
          ...[...properties].map(([name, { type }]) => ({ name, type })),
          ...[...children].map(([name, type]) => ({ name, type: `child<${type}>` })),
        ];
      },
    },
    'qom-get': {
      returns: 'any',
      arguments: { path: 'str', property: 'str' },
      run: ({ path, property }) => {
        const object = find(path);
        const found = object.properties.get(text(property));
        if (found === undefined) throw new QmpError(`Property '${object.type}.${text(property)}' not found`);
        return found.value;
      },
    },
    'qom-set': {
      arguments: { path: 'str', property: 'str', value: 'any' },
      run: ({ path, property, value }) => {
        const object = find(path);
        if (!object.properties.has(text(property))) throw new QmpError(`Property '${object.type}.${text(property)}' not found`);
        const device = vm.devices.find(({ qomPath }) => qomPath === object.path);
        if (device !== undefined && property === 'x-migration-multifd-transfer') {
          device.multifdTransfer = onOffAuto(property, value ?? null) as OnOffAuto;
          return {};
        }
        if (device === undefined) throw new QmpError(`Property '${object.type}.${text(property)}' is read-only`);
        const named = device.id === '' ? '' : ` on device '${device.id}'`;
        throw new QmpError(`Attempt to set property '${text(property)}'${named} (type '${device.api}') after it was realized`);
      },
    },
  };
}
