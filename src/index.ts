/**
 * mdevsim as a library: a fake mediated-device machine in this process.
 *
 *   import { Lab } from 'mdevsim';
 */
export { Lab } from './lab/lab.js';
export { defineDriver } from './drivers/simple/define.js';
export type {
  SimpleAttribute, SimpleDevice, SimpleDriver, SimpleIdentity, SimpleRegion, SimpleState, SimpleType,
} from './drivers/simple/define.js';
export type { MdevDriver } from './mdev/driver.js';
export type { LabOptions, TypeInfo } from './lab/lab.js';
export { LabServer } from './lab/lab-server.js';
export type { LabServerOptions, ServedDevice } from './lab/lab-server.js';
export type { RunOptions, RunResult, SpawnOptions } from './lab/run.js';
export type { DriverRequest, LabConfiguration } from './lab/build.js';
export type { DeviceRequest, DeviceSetup, SetupPath, SetupProblem } from './lab/setup.js';
export { parseLabFile, readLabFile } from './lab/config/load.js';
export type { LabFile } from './lab/config/load.js';
export { LabFileError } from './lab/config/problem.js';
export type { LabFileProblem } from './lab/config/problem.js';
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
export { QmpClient, QmpReplyError, QmpTimeoutError } from './client/qmp/client.js';
export type { EventWait, MigrationInfo, MigrationStatus, QmpCommandTypes, QmpEvent } from './client/qmp/client.js';
