/** The stores of `create` and `remove`. Source: drivers/vfio/mdev/mdev_sysfs.c. */
import { Errno } from '../abi/errno.js';
import { cString, kstrtoul } from '../device/kstrtox.js';
import type { Awaitable } from '../kernfs/file.js';
import { interruptible } from '../kernfs/interrupt.js';
import type { AttributeRequest } from '../sysfs/attribute.js';
import type { MdevDevice } from './device.js';
import type { MdevType } from './type.js';
import { parseCreate } from './uuid.js';

/** create_store() */
export function createStore(type: MdevType, data: Uint8Array): void {
  const uuid = parseCreate(data);
  type.parent.core.create(type, uuid);
}

/** remove_store(): zero is taken and does nothing. */
export function removeStore(mdev: MdevDevice, data: Uint8Array, request: AttributeRequest): Awaitable<void> {
  let value: bigint;
  try {
    value = kstrtoul(cString(data));
  } catch {
    throw new Errno('EINVAL');
  }
  if (value === 0n) return undefined;
  const first = request.removeSelf();
  return first instanceof Promise ? first.then((mine) => finish(mdev, mine, request)) : finish(mdev, first, request);
}

/**
 * Only the writer that took the attribute away removes the device. Its wait, for a device in use, can be interrupted (the
 * kernel's cannot): EINTR, and the removal goes on.
 */
function finish(mdev: MdevDevice, first: boolean, request: AttributeRequest): Awaitable<void> {
  if (!first) return undefined;
  const wait = mdev.type.parent.core.remove(mdev, request.caller);
  return wait === undefined ? undefined : interruptible(wait, request.signal);
}
