/** device_add and device_del for vfio-pci and vfio-ap. Source: QEMU's system/qdev-monitor.c. */
import { QmpError } from '../qmp/error.js';
import type { QmpArguments } from '../qmp/dispatch.js';
import type { Json } from '../qmp/json-parser.js';
import type { OnOffAuto, VfioPciOptions } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { CommandContext, CommandTable } from './context.js';
import { text } from './context.js';
import { PROPERTIES } from './properties.js';
import { CONTAINERS, wholePath } from './qom.js';
import { PCI_INFO, PROPERTIES_INFO } from './types.js';

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
    deviceDirtyTracking: values['x-device-dirty-page-tracking'] as OnOffAuto | undefined,
    preCopyDirtyTracking: values['x-pre-copy-dirty-page-tracking'] as OnOffAuto | undefined,
    multifdTransfer: values['x-migration-multifd-transfer'] as OnOffAuto | undefined,
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
