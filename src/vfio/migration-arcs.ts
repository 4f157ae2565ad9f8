/**
 * The migration state machine as a table: which state comes next on the way from one to another.
 *
 * Source: drivers/vfio/vfio_main.c: vfio_mig_get_next_state(). Pure; no device here.
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_STATE_ERROR as ERROR, VFIO_DEVICE_STATE_PRE_COPY as PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P as PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING as RESUMING, VFIO_DEVICE_STATE_RUNNING as RUNNING, VFIO_DEVICE_STATE_RUNNING_P2P as RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP as STOP, VFIO_DEVICE_STATE_STOP_COPY as STOP_COPY,
  VFIO_MIGRATION_P2P, VFIO_MIGRATION_PRE_COPY, VFIO_MIGRATION_STOP_COPY,
} from '../abi/vfio.js';

/** Row: where the device is. Column (order of `COLUMNS`): where it shall go. Cell: the next state; ERROR means refused. */
const COLUMNS = [STOP, RUNNING, PRE_COPY, PRE_COPY_P2P, STOP_COPY, RESUMING, RUNNING_P2P] as const;
const NEXT: ReadonlyMap<number, readonly number[]> = new Map([
  [STOP, [STOP, RUNNING_P2P, RUNNING_P2P, RUNNING_P2P, STOP_COPY, RESUMING, RUNNING_P2P]],
  [RUNNING, [RUNNING_P2P, RUNNING, PRE_COPY, RUNNING_P2P, RUNNING_P2P, RUNNING_P2P, RUNNING_P2P]],
  [PRE_COPY, [RUNNING, RUNNING, PRE_COPY, PRE_COPY_P2P, PRE_COPY_P2P, RUNNING, RUNNING]],
  [PRE_COPY_P2P, [RUNNING_P2P, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P, STOP_COPY, RUNNING_P2P, RUNNING_P2P]],
  [STOP_COPY, [STOP, STOP, ERROR, ERROR, STOP_COPY, STOP, STOP]],
  [RESUMING, [STOP, STOP, STOP, STOP, STOP, RESUMING, STOP]],
  [RUNNING_P2P, [STOP, RUNNING, RUNNING, PRE_COPY_P2P, STOP, STOP, RUNNING_P2P]],
]);

/** The capability flags a device must have for a state to exist. */
const NEEDS: ReadonlyMap<number, number> = new Map([
  [STOP, VFIO_MIGRATION_STOP_COPY],
  [RUNNING, VFIO_MIGRATION_STOP_COPY],
  [PRE_COPY, VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY],
  [PRE_COPY_P2P, VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY],
  [STOP_COPY, VFIO_MIGRATION_STOP_COPY],
  [RESUMING, VFIO_MIGRATION_STOP_COPY],
  [RUNNING_P2P, VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P],
]);

/** Whether a device with these VFIO_MIGRATION_* flags has the state. ERROR can't be asked for, so it counts as absent. */
export function isStateSupported(state: number, flags: number): boolean {
  const needed = NEEDS.get(state);
  return needed !== undefined && (flags & needed) === needed;
}

/** The state after `from` on the way to `to`; states the device lacks are passed over. Throws EINVAL where no way leads there. */
export function nextState(from: number, to: number, flags: number): number {
  const column = (COLUMNS as readonly number[]).indexOf(to);
  if (column < 0 || !isStateSupported(to, flags) || !isStateSupported(from, flags)) throw new Errno('EINVAL');
  let next = NEXT.get(from)?.[column];
  while (next !== undefined && next !== ERROR && !isStateSupported(next, flags)) next = NEXT.get(next)?.[column];
  if (next === undefined || next === ERROR) throw new Errno('EINVAL');
  return next;
}

/** All states entered on the way, the last one is `to`; empty when already there. Throws EINVAL as nextState(). */
export function statePath(from: number, to: number, flags: number): readonly number[] {
  const path: number[] = [];
  for (let state = from; state !== to;) {
    state = nextState(state, to, flags);
    path.push(state);
  }
  return path;
}

/** States in which the device's state is being saved: one data file lives from the first of them to the last. */
export function isSaving(state: number): boolean {
  return state === PRE_COPY || state === PRE_COPY_P2P || state === STOP_COPY;
}
