/** Run states of a VM. Source: QEMU's qapi/run-state.json: RunState; system/runstate.c: runstate_is_live(). */
export const RUN_STATES = [
  'debug', 'inmigrate', 'internal-error', 'io-error', 'paused', 'postmigrate', 'prelaunch', 'finish-migrate', 'restore-vm',
  'running', 'save-vm', 'shutdown', 'suspended', 'watchdog', 'guest-panicked', 'colo',
] as const;
export type RunState = (typeof RUN_STATES)[number];

/** Whether virtual CPUs (or, suspended, only timers) run. */
export function isLive(state: RunState): boolean {
  return state === 'running' || state === 'suspended';
}
