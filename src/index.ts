/**
 * mdevsim as a library: a fake mediated-device machine in this process.
 *
 *   import { Lab } from 'mdevsim';
 */
export { Lab } from './lab/lab.js';
export type { DeviceRequest, LabOptions, TypeInfo } from './lab/lab.js';
export type { LabConfiguration } from './lab/build.js';
export { LabDevice } from './lab/device.js';
export type { LabEvent, LabEventOf, LabEventType, LabListener } from './lab/events.js';
export type { BlockerPolicyName } from './blocker/policy.js';
export { Errno, isErrno } from './abi/errno.js';
export type { ErrnoName } from './abi/errno.js';
export { MountError, umountLab } from '../mount/mount.js';
export type { MountStats } from '../mount/mount.js';
export { onTrace, setLogSink } from './trace/trace.js';
export type { Category, TraceEvent, TraceSink } from './trace/trace.js';
export { Vmm } from './lab/vmm.js';
export type { VmmStartOptions } from './lab/vmm.js';
export { QmpClient, QmpReplyError } from './client/qmp/client.js';
export type { MigrationInfo, QmpCommandTypes, QmpEvent } from './client/qmp/client.js';
