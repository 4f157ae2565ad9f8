/**
 * Attributes as a kernel developer declares them: name, mode, show, store. The page rules (4096 bytes, one write one
 * store) are sysfs/file.ts, what open() checks is sysfs/attribute-node.ts; drivers never see them.
 */
import type { Caller } from '../kernfs/caller.js';
import type { Awaitable } from '../kernfs/file.js';

/** One show or store that is running. */
export interface AttributeRequest {
  readonly caller: Caller;
  /** Aborted when the caller was interrupted. */
  readonly signal: AbortSignal;
  /**
   * device_remove_file_self(): removes the attribute whose show or store is running, which from then on is not waited for
   * when its directory goes. True for the one who removed it; the others that run at the same time wait until it is gone
   * and get false.
   */
  removeSelf(): Awaitable<boolean>;
}

/** `T` is the object the attribute belongs to (the kobject's owner). */
export interface Attribute<T> {
  readonly name: string;
  /** Permission bits, 0o644. */
  readonly mode: number;
  /** The whole content, usually with a newline; cut at 4095 bytes with a log line, as sysfs_emit would. */
  readonly show?: (owner: T, request: AttributeRequest) => Awaitable<string | Uint8Array>;
  /** `data` as written (up to 4096 bytes). Returns the bytes consumed; undefined means all. */
  readonly store?: (owner: T, data: Uint8Array, request: AttributeRequest) => Awaitable<number | undefined | void>;
}

/** DEVICE_ATTR_RO */
export function ro<T>(name: string, show: NonNullable<Attribute<T>['show']>, mode = 0o444): Attribute<T> {
  return { name, mode, show };
}
/** DEVICE_ATTR_WO */
export function wo<T>(name: string, store: NonNullable<Attribute<T>['store']>, mode = 0o200): Attribute<T> {
  return { name, mode, store };
}
/** DEVICE_ATTR_RW */
export function rw<T>(
  name: string,
  show: NonNullable<Attribute<T>['show']>,
  store: NonNullable<Attribute<T>['store']>,
  mode = 0o644,
): Attribute<T> {
  return { name, mode, show, store };
}
