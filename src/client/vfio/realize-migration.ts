/**
 * Whether a device can migrate, and what is set up where it can. Source: QEMU's hw/vfio/migration.c: vfio_migration_realize(),
 * vfio_migration_init(), vfio_block_migration(), vfio_block_multiple_devices_migration(), vfio_vmstate_change().
 */
import { ERRNO, Errno, isErrno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_MIGRATION, VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY, VFIO_MIGRATION_P2P, VFIO_MIGRATION_STOP_COPY, vfio_device_feature_migration,
} from '../../abi/vfio.js';
import { strerror } from '../../sys/strerror.js';
import type { MigrationBlocker } from '../vm/blockers.js';
import { BlockerRefused } from '../vm/blockers.js';
import type { MigrationSide, OnOffAuto, VfioPciOptions } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { Vm } from '../vm/vm.js';
import type { OpenedDevice } from './container.js';
import { stateEvent } from './device-states.js';
import { deviceFeature, probeFeature } from './ioctl.js';
import type { MigrationObserver } from './migration.js';
import { DeviceMigration } from './migration.js';

export interface MigratableDevice {
  readonly fd: number;
  readonly name: string;
  readonly id: string;
  readonly qomPath: string;
  readonly options: VfioPciOptions;
  readonly opened: Pick<OpenedDevice, 'iommuDirtyTracking' | 'container'>;
  readonly enableMigration: OnOffAuto;
  migration: MigrationSide | undefined;
  realizeBlocker: MigrationBlocker | undefined;
  dirtyTracking: boolean;
  /** It reaches the guest's memory by itself. */
  readonly dma: boolean;
}

const MULTIPLE = 'Multiple VFIO devices migration is supported only if all of them support P2P migration';

/** Takes what close() of the device must do. */
export type Undo = (run: () => void) => void;

/** `undo` takes what close() of the device must take back. Throws VfioError where enable-migration=on can't be had. */
export function realizeMigration(device: MigratableDevice, vm: Vm, others: readonly MigratableDevice[], undo: Undo): void {
  const { name, enableMigration } = device;
  if (enableMigration === 'off') return block(device, vm, disabled(name), undo);
  try {
    device.migration = initialize(device, vm, undo);
  } catch (error) {
    if (!isErrno(error)) throw error;
    return block(device, vm, describe(name, error), undo);
  }
  const canLog = probeFeature(device.fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
  device.dirtyTracking = canLog && device.options.deviceDirtyTracking !== 'off';
  // QEMU asks it of every device. One that writes to no memory needs no log of what it writes.
  if (device.dma && !device.dirtyTracking && !device.opened.iommuDirtyTracking) {
    const reason = `${name}: VFIO device doesn't support device and IOMMU dirty tracking`;
    if (enableMigration === 'auto') return block(device, vm, reason, undo);
    vm.environment.log('warning', reason);
  }
  checkMultiple(device, vm, others, undo);
}

export const disabled = (name: string): string => `${name}: Migration is disabled for VFIO device`;

function describe(name: string, error: Errno): string {
  if (error.errno === ERRNO.ENOTTY) return `${name}: VFIO migration is not supported in kernel`;
  return `${name}: Migration couldn't be initialized for VFIO device, err: ${-error.errno} (${strerror(error.errno)})`;
}

/** Throws VfioError with enable-migration=on. */
export function block(device: MigratableDevice, vm: Vm, reason: string, undo: Undo): void {
  if (device.enableMigration === 'on') throw new VfioError(reason);
  const blocker = addBlocker(vm, reason);
  undo(() => vm.blockers.delete(blocker));
  device.realizeBlocker = blocker;
}

/** Throws VfioError where it is refused. */
function addBlocker(vm: Vm, reason: string): MigrationBlocker {
  try {
    return vm.blockers.add(reason, ['normal']);
  } catch (error) {
    throw error instanceof BlockerRefused ? new VfioError(error.message) : error;
  }
}

/** vfio_multiple_devices_migration_is_supported() */
function canMigrateTogether(devices: readonly { readonly migration: MigrationSide | undefined }[]): boolean {
  const all = devices.flatMap(({ migration }) => (migration instanceof DeviceMigration ? [migration] : []));
  return all.length < 2 || all.every(({ flags }) => (flags & VFIO_MIGRATION_P2P) !== 0);
}

/**
 * One blocker for all, while there are several devices and one of them lacks P2P; it is no device's own.
 * vfio_block_multiple_devices_migration(), vfio_unblock_multiple_devices_migration()
 */
function checkMultiple(device: MigratableDevice, vm: Vm, others: readonly MigratableDevice[], undo: Undo): void {
  undo(() => {
    const blocker = vm.blockers.find(MULTIPLE);
    const rest = vm.devices.filter((one) => one.name !== device.name);
    if (blocker !== undefined && canMigrateTogether(rest)) vm.blockers.delete(blocker);
  });
  if (canMigrateTogether([...others, device])) return;
  if (device.enableMigration === 'on') throw new VfioError(MULTIPLE);
  if (vm.blockers.find(MULTIPLE) === undefined) addBlocker(vm, MULTIPLE);
}

/** Throws Errno: ENOTTY without migration, EOPNOTSUPP without STOP_COPY. */
function initialize(device: MigratableDevice, vm: Vm, undo: Undo): DeviceMigration {
  const flags = Number(deviceFeature(device.fd, 'get', VFIO_DEVICE_FEATURE_MIGRATION, vfio_device_feature_migration).flags);
  if ((flags & VFIO_MIGRATION_STOP_COPY) === 0) throw new Errno('EOPNOTSUPP');
  const migration = new DeviceMigration(device.fd, device.name, flags, observe(device, vm));
  undo(vm.handlers.add({
    ...((flags & VFIO_MIGRATION_P2P) === 0 ? {} : {
      prepare: (running: boolean) => {
        const copies = migration.deviceState === VFIO_DEVICE_STATE_PRE_COPY && !running;
        migration.setStateOrReset(copies ? VFIO_DEVICE_STATE_PRE_COPY_P2P : VFIO_DEVICE_STATE_RUNNING_P2P);
      },
    }),
    change: (running, state) => {
      const copies = migration.inPreCopy && (state === 'finish-migrate' || state === 'paused');
      const stopped = copies ? VFIO_DEVICE_STATE_STOP_COPY : VFIO_DEVICE_STATE_STOP;
      migration.setStateOrReset(running ? VFIO_DEVICE_STATE_RUNNING : stopped);
    },
  }));
  undo(vm.notifiers.add((notice) => {
    if (notice === 'failed') migration.setStateOrReset(VFIO_DEVICE_STATE_RUNNING);
  }));
  return migration;
}

function observe(device: MigratableDevice, vm: Vm): MigrationObserver {
  const { environment } = vm;
  const event = (name: string, state: string): void => {
    if (device.options.migrationEvents !== true) return;
    environment.event(name, { 'device-id': device.id, 'qom-path': device.qomPath, 'device-state': state });
  };
  return {
    preparing: (from, to) => {
      if (vm.prepareEvents === 'all') event('VFIO_MIGRATION_PREPARE', stateEvent(to));
      if (vm.prepareEvents === 'merged' && from === VFIO_DEVICE_STATE_PRE_COPY && to === VFIO_DEVICE_STATE_PRE_COPY_P2P) {
        event('VFIO_MIGRATION', 'pre-copy-p2p-prepare');
      }
    },
    changed: (state) => event('VFIO_MIGRATION', stateEvent(state)),
    failed: (error) => vm.deviceFailed(error),
    log: (message) => environment.log('error', message),
    abort: (message) => vm.abort(message),
    lost: () => vm.devicesLost(device.id === '' ? device.qomPath : device.id),
  };
}
