/** device_add and device_del for vfio-pci and vfio-ap. Source: QEMU's system/qdev-monitor.c. */
import { QmpError } from '../qmp/error.js';
import type { QmpArguments } from '../qmp/dispatch.js';
import type { Json } from '../qmp/json-parser.js';
import { JsonFloat } from '../qmp/json-parser.js';
import type { OnOffAuto, VfioPciOptions } from '../vm/device.js';
import { ON_OFF_AUTO, VfioError } from '../vm/device.js';
import type { CommandContext, CommandTable } from './context.js';
import { text } from './context.js';
import { CONTAINERS, wholePath } from './qom.js';
import { PCI_INFO, PROPERTIES_INFO } from './types.js';

type Check = (name: string, value: Json) => Json;

const string: Check = (name, value) => {
  if (typeof value !== 'string') throw new QmpError(`Invalid parameter type for '${name}', expected: string`);
  return value;
};
const onOff: Check = (name, value) => {
  if (typeof value !== 'boolean') throw new QmpError(`Invalid parameter type for '${name}', expected: boolean`);
  return value;
};
const onOffAuto: Check = (name, value) => {
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
const PROPERTIES: Readonly<Record<string, Property>> = {
  'sysfsdev': { type: 'str', check: string },
  'addr': { type: 'str', check: address, default: -1, description: 'Slot and optional function number, example: 06.0 or 06' },
  'iommufd': { type: 'link<iommufd>', check: string },
  'enable-migration': { type: 'OnOffAuto', check: onOffAuto, default: 'auto', description: 'on/off/auto' },
  'migration-events': { type: 'bool', check: onOff, default: false, description: 'on/off' },
  'x-device-dirty-page-tracking': { type: 'OnOffAuto', check: onOffAuto, default: 'on', description: 'on/off/auto' },
};

/** Throws QmpError. */
function parseDevice({ driver, bus, id, ...properties }: QmpArguments): VfioPciOptions {
  const values: Record<string, Json> = {};
  for (const [name, value] of Object.entries(properties)) {
    const property = PROPERTIES[name];
    if (property === undefined || (name === 'addr' && driver !== 'vfio-pci')) {
      throw new QmpError(`Property '${text(driver)}.${name}' not found`);
    }
    values[name] = property.check(name, value);
  }
  return {
    sysfsdev: typeof values['sysfsdev'] === 'string' ? values['sysfsdev'] : '',
    id: typeof id === 'string' ? id : undefined,
    driver: driver === 'vfio-ap' ? driver : 'vfio-pci',
    bus: typeof bus === 'string' ? bus : undefined,
    addr: values['addr'] as string | undefined,
    enableMigration: values['enable-migration'] as OnOffAuto | undefined,
    migrationEvents: values['migration-events'] as boolean | undefined,
    iommufd: values['iommufd'] !== undefined,
    deviceDirtyTracking: values['x-device-dirty-page-tracking'] !== 'off',
  };
}

export function deviceCommands({ devices, outgoing }: CommandContext): CommandTable {
  return {
    'device_add': {
      arguments: { 'driver': 'str', '*bus': 'str', '*id': 'str' },
      open: true,
      run: (args) => {
        const { driver } = args;
        if (typeof driver !== 'string') throw new QmpError("Parameter 'driver' is missing");
        if (driver !== 'vfio-pci' && driver !== 'vfio-ap') throw new QmpError(`'${text(driver)}' is not a valid device model name`);
        if (outgoing.state.running) throw new QmpError('device_add not allowed while migrating');
        try {
          devices.add(parseDevice(args));
        } catch (error) {
          throw error instanceof VfioError ? new QmpError(error.message) : error;
        }
        return {};
      },
    },
    'device_del': {
      arguments: { id: 'str' },
      run: ({ id }) => {
        // find_device_state(): a path, of which an id is the end.
        const path = wholePath(text(id).startsWith('/') ? text(id) : `/machine/peripheral/${text(id)}`);
        if (CONTAINERS.includes(path)) throw new QmpError(`${text(id)} is not a device`);
        const device = devices.all.find(({ qomPath }) => qomPath === path);
        if (device === undefined) throw new QmpError(`Device '${text(id)}' not found`, 'DeviceNotFound');
        try {
          devices.unplug(device);
        } catch (error) {
          throw error instanceof VfioError ? new QmpError(error.message) : error;
        }
        return {};
      },
    },
    'device-list-properties': {
      returns: PROPERTIES_INFO,
      arguments: { typename: 'str' },
      run: ({ typename }) => {
        if (typename !== 'vfio-pci') throw new QmpError(`Device '${text(typename)}' not found`, 'DeviceNotFound');
        return Object.entries(PROPERTIES).map(([name, { type, default: value, description }]) => ({
          ...(value === undefined ? {} : { 'default-value': value }), name,
          ...(description === undefined ? {} : { description }), type,
        }));
      },
    },
    'query-pci': {
      returns: PCI_INFO,
      run: () => {
        const list = devices.all.filter(({ api }) => api === 'vfio-pci')
          .map(({ id, place }) => ({ bus: 0, slot: place.slot, function: place.function, qdev_id: id }));
        return [{ bus: 0, devices: list }];
      },
    },
  };
}
