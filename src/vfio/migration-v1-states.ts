/**
 * The device states of the migration protocol's version 1, and which of them may follow which. Source: include/uapi/linux/vfio.h
 * of Linux 5.8 to 5.17: struct vfio_device_migration_info, with what QEMU 5.2 to 7.2 does besides. Pure; no device here.
 */
import {
  VFIO_DEVICE_STATE_ERROR, VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY,
  VFIO_DEVICE_STATE_V1_RESUMING, VFIO_DEVICE_STATE_V1_RUNNING, VFIO_DEVICE_STATE_V1_SAVING, VFIO_DEVICE_STATE_V1_STOP,
} from '../abi/vfio.js';

const STOP = VFIO_DEVICE_STATE_V1_STOP;
const RUNNING = VFIO_DEVICE_STATE_V1_RUNNING;
const STOP_AND_COPY = VFIO_DEVICE_STATE_V1_SAVING;
const PRE_COPY = VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RUNNING;
const RESUMING = VFIO_DEVICE_STATE_V1_RESUMING;
/** VFIO_DEVICE_STATE_SET_ERROR(): only a reset leaves it. */
const ERROR = VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING;

/**
 * Row: where the device is. Values: where it may go; it may stay everywhere. The header's diagram has, besides, no way from STOP
 * and only RUNNING -> RESUMING -> RUNNING; QEMU starts a stopped device, saves one (a VM that was paused), and goes back to
 * RUNNING from a migration that fails or is cancelled.
 */
const FOLLOWING: ReadonlyMap<number, readonly number[]> = new Map([
  [STOP, [RUNNING, STOP_AND_COPY, RESUMING]],
  [RUNNING, [STOP, STOP_AND_COPY, PRE_COPY, RESUMING]],
  [STOP_AND_COPY, [STOP, RUNNING]],
  [PRE_COPY, [STOP_AND_COPY, RUNNING]],
  [RESUMING, [RUNNING]],
]);

/** Whether a client may write `to` to device_state. Everything else is EINVAL: unknown bits, illegal combinations, no way. */
export function mayFollow(from: number, to: number): boolean {
  return FOLLOWING.get(from)?.includes(to) === true || (from === to && FOLLOWING.has(from));
}

const TO_V2: ReadonlyMap<number, number> = new Map([
  [STOP, VFIO_DEVICE_STATE_STOP],
  [RUNNING, VFIO_DEVICE_STATE_RUNNING],
  [STOP_AND_COPY, VFIO_DEVICE_STATE_STOP_COPY],
  [PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY],
  [RESUMING, VFIO_DEVICE_STATE_RESUMING],
]);

const FROM_V2: ReadonlyMap<number, number> = new Map([
  ...[...TO_V2].map(([v1, v2]) => [v2, v1] as const),
  [VFIO_DEVICE_STATE_RUNNING_P2P, RUNNING],
  [VFIO_DEVICE_STATE_PRE_COPY_P2P, PRE_COPY],
  [VFIO_DEVICE_STATE_ERROR, ERROR],
]);

/** The state of the migration machine; `state` passed mayFollow(). */
export function toMachineState(state: number): number {
  return TO_V2.get(state) ?? VFIO_DEVICE_STATE_ERROR;
}

export function fromMachineState(state: number): number {
  return FROM_V2.get(state) ?? ERROR;
}
