/** Names of VFIO_DEVICE_STATE_*: in QEMU's messages, and in its VFIO_MIGRATION events. Source: hw/vfio/migration.c. */
const NAMES = ['ERROR', 'STOP', 'RUNNING', 'STOP_COPY', 'RESUMING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P'];

/** `STOP_COPY` */
export const stateName = (state: number): string => NAMES[state] ?? 'UNKNOWN STATE';
/** `stop-copy` */
export const stateEvent = (state: number): string => stateName(state).toLowerCase().replaceAll('_', '-');
