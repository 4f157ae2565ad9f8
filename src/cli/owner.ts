/** `--for PID`: a server that ends when that process ends. */
import { isErrno } from '../abi/errno.js';
import { openPidfd } from '../sys/process.js';
import { watchReadable } from '../sys/watch.js';
import { usage } from './errors.js';

/** Throws CliError where there is no such process: nothing of its is removed then. */
export function needOwner(pid: number): void {
  try {
    openPidfd(pid).close();
  } catch (error) {
    // EINVAL: a thread, which leads no group.
    if (isErrno(error, 'ESRCH') || isErrno(error, 'EINVAL')) throw usage(`--for: there is no process ${pid}`);
    throw error;
  }
}

/** Calls back when the process ends; at once when there is none. */
export function whenGone(pid: number, callback: () => void): void {
  try {
    const pidfd = openPidfd(pid);
    const watch = watchReadable(pidfd.fd, () => {
      watch.close();
      pidfd.close();
      callback();
    });
  } catch {
    callback();
  }
}
