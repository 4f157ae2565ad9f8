/** Names of the migration states (enum vfio_device_mig_state), spelled as in debugfs and in QEMU's messages. */
const NAMES: readonly string[] = ['ERROR', 'STOP', 'RUNNING', 'STOP_COPY', 'RESUMING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P'];

/** `Invalid` for a number that is no state, as drivers/vfio/debugfs.c prints it. */
export function migrationStateName(state: number): string {
  return NAMES[state] ?? 'Invalid';
}

/** The number of a state's name, or undefined. */
export function migrationStateNumber(name: string): number | undefined {
  const found = NAMES.indexOf(name);
  return found < 0 ? undefined : found;
}
