/**
 * The migration part of include/uapi/linux/vfio.h: device states, capability flags, and the one ioctl of a data file.
 * (The VFIO_DEVICE_FEATURE numbers and payloads are in vfio.ts.)
 */
import { io } from './ioctl.js';
import { struct, u32, u64 } from './layout.js';

/** enum vfio_device_mig_state */
export const VFIO_DEVICE_STATE_ERROR = 0;
export const VFIO_DEVICE_STATE_STOP = 1;
export const VFIO_DEVICE_STATE_RUNNING = 2;
export const VFIO_DEVICE_STATE_STOP_COPY = 3;
export const VFIO_DEVICE_STATE_RESUMING = 4;
export const VFIO_DEVICE_STATE_RUNNING_P2P = 5;
export const VFIO_DEVICE_STATE_PRE_COPY = 6;
export const VFIO_DEVICE_STATE_PRE_COPY_P2P = 7;

/** Index is the number; spelling as in debugfs and in QEMU's messages. */
export const MIGRATION_STATE_NAMES = [
  'ERROR', 'STOP', 'RUNNING', 'STOP_COPY', 'RESUMING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P',
] as const;
export type MigrationStateName = (typeof MIGRATION_STATE_NAMES)[number];

/** `Invalid` for a number that is no state, as drivers/vfio/debugfs.c prints it. */
export function migrationStateName(state: number): string {
  return MIGRATION_STATE_NAMES[state] ?? 'Invalid';
}

/** The number of a state's name, or undefined. */
export function migrationStateNumber(name: string): number | undefined {
  const found = (MIGRATION_STATE_NAMES as readonly string[]).indexOf(name);
  return found < 0 ? undefined : found;
}

/** struct vfio_device_feature_migration.flags */
export const VFIO_MIGRATION_STOP_COPY = 1 << 0;
export const VFIO_MIGRATION_P2P = 1 << 1;
export const VFIO_MIGRATION_PRE_COPY = 1 << 2;

/** _IO(VFIO_TYPE, VFIO_BASE + 21), on a saving data file. */
export const VFIO_MIG_GET_PRECOPY_INFO = io(0x3b, 100 + 21);

export const vfio_precopy_info = struct('vfio_precopy_info', {
  argsz: u32,
  flags: u32,
  /** Bytes that never change again once read. */
  initial_bytes: u64,
  /** Bytes that changed since they were last read. */
  dirty_bytes: u64,
});
