/** `--for PID`: a server that ends when that process ends, and leaves no directory behind. */
import { rmdirSync } from 'node:fs';
import { openPidfd } from '../sys/process.js';
import { watchReadable } from '../sys/watch.js';

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

export function removeEmptyDirectory(dir: string): void {
  try { rmdirSync(dir); } catch { /* Not ours to insist. */ }
}
