/** Whether a device can migrate as the RFC proposed, and what is set up where it can. Source: hw/vfio/pci.c: vfio_realize(). */
import { isErrno } from '../../abi/errno.js';
import { VfioError } from '../vm/device.js';
import type { Vm } from '../vm/vm.js';
import { block, disabled } from './realize-migration.js';
import type { MigratableDevice, Undo } from './realize-migration.js';
import type { Region } from './regions.js';
import { RfcMigration } from './rfc-migration.js';
import { RFC_VERSIONS } from './rfc-versions.js';
import type { RfcVersionName } from './rfc-versions.js';

export interface RfcSettings {
  readonly version: RfcVersionName;
  /** False: a migration stops the device in its own turn, not when it stops the machine. */
  readonly stopsWithMachine: boolean;
}

/** Throws VfioError where enable-migration=on can't be had. */
export function realizeRfc(device: MigratableDevice, vm: Vm, settings: RfcSettings, undo: Undo): void {
  if (device.enableMigration === 'off') return block(device, vm, disabled(device.name), undo);
  const version = RFC_VERSIONS[settings.version];
  const region = find(() => version.findRegion(device.fd));
  if (region === undefined) return block(device, vm, 'Migration disabled: cannot support device state region', undo);
  if (version.asksContainer && device.opened.container.ioctl === undefined) {
    return block(device, vm, `${device.name}: iommufd can't be asked for dirty pages as the RFC proposed`, undo);
  }
  const migration = new RfcMigration(device.fd, device.opened.container, version, region);
  device.migration = migration;
  undo(vm.handlers.add({
    change: (running, state) => {
      if (!running && state === 'finish-migrate' && !settings.stopsWithMachine) return;
      try {
        migration.setRunning(running);
      } catch (error) {
        if (!(error instanceof VfioError)) throw error;
        vm.deviceFailed(error);
      }
    },
  }));
}

function find(run: () => Region | undefined): Region | undefined {
  try {
    return run();
  } catch (error) {
    if (!isErrno(error)) throw error;
    return undefined;
  }
}
