/**
 * What the lab's devices have beyond Linux's uAPI, at the end of the number ranges. A client that does not know it loses nothing;
 * one that asks a real kernel gets ENOTTY. docs/protocol.md explains it.
 */
import { struct, u32 } from './layout.js';

/**
 * Policy `notify`: the VMM says when a migration starts and ends. VFIO_DEVICE_FEATURE GET tells what the device took last, SET
 * says it. Belongs to the device's open file: the last close ends it.
 */
export const MDEVSIM_FEATURE_MIGRATION_NOTICE = 0xff00;
export const mdevsim_migration_notice = struct('mdevsim_migration_notice', { event: u32, __reserved: u32 });
/** No migration; what GET answers when none was told. SET: it has ended, however. */
export const MDEVSIM_MIGRATION_ENDED = 0;
/** SET before anything else of a migration is done. EBUSY under `enforce` while the device is blocked. */
export const MDEVSIM_MIGRATION_STARTS = 1;
