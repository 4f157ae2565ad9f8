/** device_add and device_del for vfio-pci and vfio-ap. Source: QEMU's system/qdev-monitor.c. */
import { QmpError } from '../qmp/error.js';
import type { QmpArguments } from '../qmp/dispatch.js';
import type { Json } from '../qmp/json-parser.js';
import type { OnOffAuto, VfioPciOptions } from '../vm/device.js';
import { ON_OFF_AUTO, VfioError } from '../vm/device.js';
import type { CommandContext, CommandTable } from './context.js';
import { text } from './context.js';
import { PCI_INFO, PROPERTIES_INFO } from './types.js';

type Check = (name: string, value: Json) => Json;

const string: Check = (name, value) => {
  if (typeof value !== 'string') throw new QmpError(`Invalid parameter type for '${name}', expected: string`);
  return value;
};
const onOff: Check = (name, value) => {
  if (value === 'on' || value === 'off') return value === 'on';
  if (typeof value !== 'boolean') throw new QmpError(`Invalid parameter type for '${name}', expected: boolean`);
  return value;
};
const onOffAuto: Check = (name, value) => {
  if (!(ON_OFF_AUTO as readonly Json[]).includes(string(name, value))) {
    throw new QmpError(`Parameter '${name}' does not accept value '${text(value)}'`);
  }
  return value;
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
  'iommufd': { type: 'link<iommufd>', check: string },
  'enable-migration': { type: 'OnOffAuto', check: onOffAuto, default: 'auto', description: 'on/off/auto' },
  'migration-events': { type: 'bool', check: onOff, default: false, description: 'on/off' },
  'x-device-dirty-page-tracking': { type: 'OnOffAuto', check: onOffAuto, default: 'on', description: 'on/off/auto' },
};

/** Throws QmpError. */
function parseDevice({ driver: _driver, bus: _bus, id, ...properties }: QmpArguments): VfioPciOptions {
  const values: Record<string, Json> = {};
  for (const [name, value] of Object.entries(properties)) {
    const property = PROPERTIES[name];
    if (property === undefined) throw new QmpError(`Property 'vfio-pci.${name}' not found`);
    values[name] = property.check(name, value);
  }
  return {
    sysfsdev: typeof values['sysfsdev'] === 'string' ? values['sysfsdev'] : '',
    id: typeof id === 'string' ? id : undefined,
    enableMigration: values['enable-migration'] as OnOffAuto | undefined,
    migrationEvents: values['migration-events'] as boolean | undefined,
    iommufd: values['iommufd'] !== undefined,
    deviceDirtyTracking: values['x-device-dirty-page-tracking'] !== 'off',
  };
}

export function deviceCommands({ vm, devices, outgoing }: CommandContext): CommandTable {
  return {
    'device_add': {
      arguments: { 'driver': 'str', '*bus': 'str', '*id': 'str' },
      open: true,
      run: (args) => {
        const { driver } = args;
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
        const device = devices.find(text(id));
        if (device === undefined) throw new QmpError(`Device '${text(id)}' not found`, 'DeviceNotFound');
        if (outgoing.state.running) throw new QmpError('device_del not allowed while migrating');
        devices.unplug(device);
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
        const slot = (sectionId: string): number => Number.parseInt(sectionId.slice(8, 10), 16);
        const list = vm.devices.filter(({ api }) => api === 'vfio-pci').map(({ id, sectionId }) => ({ bus: 0, slot: slot(sectionId), function: 0, qdev_id: id }));
        return [{ bus: 0, devices: list }];
      },
    },
  };
}
