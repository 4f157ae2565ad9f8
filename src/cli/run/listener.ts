/** Letting the lab's server open descriptors in the command: by seccomp, while the command waits in the ioctl (see mount/supervisor.ts). */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { FD_IOCTLS } from '../../abi/fd-ioctls.js';
import { isErrno } from '../../abi/errno.js';
import { listenToIoctls } from '../../sys/seccomp.js';

/** What the kernel or a sandbox says where there is no listener to be had, or one already. */
const REFUSALS = new Set(['EBUSY', 'EINVAL', 'ENOSYS', 'EPERM', 'EACCES']);

/** The server takes its copy while this is opened. Throws what it says. */
function offer(lab: string, fd: number): void {
  closeSync(openSync(join(lab, '.slots', `listener-${fd}`), 'r'));
}

/** Whether the lab's server may take descriptors of this process: it then tells that this one is no listener. */
function canOffer(lab: string): boolean {
  const other = openSync('/dev/null', 'r');
  try {
    offer(lab, other);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EINVAL';
  } finally {
    closeSync(other);
  }
}

/**
 * Makes the lab's server the supervisor of this thread and of what it becomes and forks. False where that is not possible; then
 * nothing has changed. It is tried beforehand whether the server can, because a listener that nobody has makes the ioctls fail.
 */
export function letServerOpen(lab: string): boolean {
  if (!canOffer(lab)) return false;
  try {
    using listener = listenToIoctls([...FD_IOCTLS.keys()]);
    offer(lab, listener.fd);
    return true;
  } catch (error) {
    if (isErrno(error) && REFUSALS.has(error.code)) return false;
    throw error;
  }
}
