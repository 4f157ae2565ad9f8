/**
 * Caller: the process behind a request, as far as a driver may touch it.
 *
 * mount/caller.ts implements it with process_vm_readv/writev and pidfd_getfd; test/fakes/ in memory. A Caller is valid
 * for the length of one request; `memory()` gives what may be kept longer (DMA maps).
 */
import type { OpenFile } from './file.js';

/** A descriptor that the server owns. Exactly one owner; `close()` is idempotent. */
export interface OwnedFd {
  /** The number in this process; throws EBADF after close(). */
  readonly fd: number;
  readonly closed: boolean;
  close(): void;
}

/** The address space of a process; usable after the request, for as long as the process lives. */
export interface CallerMemory {
  /** Throws EFAULT when any byte of the range is not readable, ESRCH when the process is gone. */
  read(address: bigint, length: number): Uint8Array;
  /** Throws EFAULT when any byte is not writable; bytes before the fault may have been written. */
  write(address: bigint, data: Uint8Array): void;
}

export interface Caller extends CallerMemory {
  /** Thread id as FUSE reports it; 0 when the caller is not visible from the server's pid namespace. */
  readonly tid: number;
  /** Thread group id: what user space calls the pid. Throws EACCES when the caller is not visible. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** The thread's name (/proc/<tid>/comm) for log lines; undefined when it is not known. Optional: fakes need not have it. */
  readonly comm?: string | undefined;
  /** The caller's memory for later use (DMA). */
  memory(): CallerMemory;
  /**
   * The server's own copy of one of the caller's eventfds. The new owner closes it.
   * Throws EBADF when the number is not open, EINVAL when it is no eventfd, EPERM/EACCES when the machine forbids it.
   */
  takeFd(fd: number): OwnedFd;
  /**
   * Whether `fd` is an eventfd in the caller (fdinfo has `eventfd-count:`). Throws EBADF when it is not open.
   */
  isEventfd(fd: number): boolean;
  /**
   * Opens `file` in the caller through a free slot and returns its number there.
   * Throws EMFILE without a free slot; the file then is not released.
   */
  giveFd(file: OpenFile): number;
  /**
   * The lab's own open file behind a descriptor of the caller, also when that was passed on or duplicated;
   * undefined when it is some other file. Throws EBADF when the number is not open.
   */
  fileOf(fd: number): Promise<OpenFile | undefined>;
}
