/** Properties of vfio-pci and vfio-ap, and their values. Source: QEMU's hw/core/qdev-properties*.c, qapi/qobject-input-visitor.c. */
import { QmpError } from '../qmp/error.js';
import type { Json } from '../qmp/json-parser.js';
import { JsonFloat } from '../qmp/json-parser.js';
import { ON_OFF_AUTO } from '../vm/device.js';
import { text } from './context.js';

/** The value, as the device takes it. Throws QmpError. */
type Check = (name: string, value: Json) => Json;

const string: Check = (name, value) => {
  if (typeof value !== 'string') throw new QmpError(`Invalid parameter type for '${name}', expected: string`);
  return value;
};
const onOff: Check = (name, value) => {
  if (typeof value !== 'boolean') throw new QmpError(`Invalid parameter type for '${name}', expected: boolean`);
  return value;
};
export const onOffAuto: Check = (name, value) => {
  if (!(ON_OFF_AUTO as readonly Json[]).includes(string(name, value))) {
    throw new QmpError(`Parameter '${name}' does not accept value '${text(value)}'`);
  }
  return value;
};

/** set_pci_devfn(): text, or slot and function in one number. */
const address: Check = (name, value) => {
  if (typeof value === 'string') return value;
  if (value instanceof JsonFloat) throw new QmpError(`Invalid parameter type for '${name}', expected: integer`);
  if (typeof value !== 'number') throw new QmpError(`Invalid parameter type for '${name}', expected int or str`);
  if (!Number.isInteger(value) || value < 0 || value > 0xff) throw new QmpError(`Parameter '${name}' expects a value between -1 and 255`);
  return `${(value >> 3).toString(16)}.${value & 7}`;
};

interface Property {
  readonly type: string;
  readonly check: Check;
  readonly default?: Json;
  readonly description?: string;
}

/** Properties of vfio-pci that this VMM has. */
export const PROPERTIES: Readonly<Record<string, Property>> = {
  'sysfsdev': { type: 'str', check: string },
  'addr': { type: 'str', check: address, default: -1, description: 'Slot and optional function number, example: 06.0 or 06' },
  'iommufd': { type: 'link<iommufd>', check: string },
  'enable-migration': { type: 'OnOffAuto', check: onOffAuto, default: 'auto', description: 'on/off/auto' },
  'migration-events': { type: 'bool', check: onOff, default: false, description: 'on/off' },
  'x-device-dirty-page-tracking': { type: 'OnOffAuto', check: onOffAuto, default: 'on', description: 'on/off/auto' },
  'x-pre-copy-dirty-page-tracking': { type: 'OnOffAuto', check: onOffAuto, default: 'on', description: 'on/off/auto' },
  'x-migration-multifd-transfer': { type: 'OnOffAuto', check: onOffAuto, default: 'auto', description: 'on/off/auto' },
};
