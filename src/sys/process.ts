/**
 * Other processes: their memory, their descriptors, and what /proc says of them.
 *
 * Deadlock rules, for the thread that serves requests of such a process. In execve() a process keeps the kernel's exec_update_lock while
 * it waits for our answer to FLUSH: readlink in /proc/<pid>/fd, /proc/<pid>/stat and pidfd_getfd take that lock, so they are for
 * requests that no execve() makes. In epoll_wait() a thread keeps the epoll's lock while it waits for our answer to POLL: the fdinfo of
 * an epoll takes that one, so it is not read, or not by that thread.
 */
import { readlinkSync } from 'node:fs';
import { ERRNO, Errno } from '../abi/errno.js';
import { closeFd, Fd } from './fd.js';
import { O_CLOEXEC, readFd, readFdAsync } from './io.js';
import { addressOf, bind, callAsync, check, lastErrno, syscall, syscallNumber, syscallVm } from './libc.js';

const READV = syscallNumber('process_vm_readv');
const WRITEV = syscallNumber('process_vm_writev');
const PIDFD_OPEN = syscallNumber('pidfd_open');
const PIDFD_GETFD = syscallNumber('pidfd_getfd');

/** Transfers up to this size go through one preallocated buffer, bytes. */
const BOUNCE = 4096;
/** Larger reads look at both ends before they allocate, bytes. */
const PROBE = 1 << 20;
/** Largest single transfer, bytes. */
const LIMIT = 1 << 28;

const bounce = new Uint8Array(BOUNCE);
const bounceAddress = addressOf(bounce);
const local = new BigUint64Array(2);
const remote = new BigUint64Array(2);
const localBytes = new Uint8Array(local.buffer);
const remoteBytes = new Uint8Array(remote.buffer);

function transfer(number: number, tid: number, own: bigint, address: bigint, length: number): void {
  local[0] = own;
  remote[0] = address;
  local[1] = remote[1] = BigInt(length);
  const done = syscallVm(number, tid, localBytes, 1, remoteBytes, 1, 0);
  if (done === length) return;
  if (done >= 0) throw new Errno('EFAULT');
  throw Errno.fromNumber(lastErrno(), 'process_vm');
}

function checkRange(address: bigint, length: number): void {
  if (length > LIMIT) throw new Errno('ENOMEM');
  if (address < 0n || address + BigInt(length) > 1n << 63n) throw new Errno('EFAULT');
}

/**
 * A copy of `length` bytes at `address` of the process that `tid` belongs to.
 * Throws EFAULT when any byte is not readable, ESRCH when it is gone, EPERM when the machine forbids it.
 */
export function readProcessMemory(tid: number, address: bigint, length: number): Uint8Array {
  checkRange(address, length);
  if (length === 0) return new Uint8Array(0);
  if (length <= BOUNCE) {
    transfer(READV, tid, bounceAddress, address, length);
    return bounce.slice(0, length);
  }
  if (length > PROBE) {
    transfer(READV, tid, bounceAddress, address, 1);
    transfer(READV, tid, bounceAddress, address + BigInt(length - 1), 1);
  }
  const data = new Uint8Array(length);
  transfer(READV, tid, addressOf(data), address, length);
  return data;
}

/** Writes all of `data`, or throws as readProcessMemory(); bytes before an unwritable page may have been written. */
export function writeProcessMemory(tid: number, address: bigint, data: Uint8Array): void {
  checkRange(address, data.length);
  if (data.length === 0) return;
  if (data.length <= BOUNCE) {
    bounce.set(data);
    transfer(WRITEV, tid, bounceAddress, address, data.length);
  } else {
    transfer(WRITEV, tid, addressOf(data), address, data.length);
  }
}

/** pidfd_open(2). Throws ESRCH, EINVAL (a thread that leads no group). */
export function openPidfd(pid: number): Fd {
  return new Fd(check(syscall(PIDFD_OPEN, pid, 0, 0, 0, 0, 0), 'pidfd_open'));
}

/** pidfd_getfd(2): our own copy of another process's descriptor. Throws EBADF, EPERM, ESRCH. */
export function takeProcessFd(pid: number, fd: number): Fd {
  const pidfd = openPidfd(pid);
  try {
    return new Fd(check(syscall(PIDFD_GETFD, pidfd.fd, fd, 0, 0, 0, 0), 'pidfd_getfd'));
  } finally {
    pidfd.close();
  }
}

/** takeProcessFd() that may be called whatever the process is doing: a worker thread takes it. */
export async function takeProcessFdAsync(pid: number, fd: number): Promise<Fd> {
  using pidfd = openPidfd(pid);
  return new Fd(await callAsync('pidfd_getfd', syscall, PIDFD_GETFD, pidfd.fd, fd, 0, 0, 0, 0));
}

const cOpen = bind('open', 'int', ['string', 'int', 'uint']);
const page = Buffer.alloc(16384);

/** undefined when it does not exist. Throws EACCES, EPERM. */
function openProcFile(path: string): Fd | undefined {
  const fd = cOpen(path, O_CLOEXEC, 0);
  if (fd >= 0) return new Fd(fd);
  const errno = Errno.fromNumber(lastErrno(), path);
  if (errno.code === 'ENOENT' || errno.code === 'ESRCH') return undefined;
  throw errno;
}

/** A small /proc file as text, or undefined when it does not exist. Throws EACCES, EPERM. */
export function readProcFile(path: string): string | undefined {
  using file = openProcFile(path);
  return file === undefined ? undefined : textOf(file, path);
}

/** undefined when the process is gone. */
function textOf(file: Fd, path: string): string | undefined {
  const size = readFd(file.fd, page, page.length);
  if (size < 0) {
    if (size === -ERRNO.ESRCH) return undefined;
    throw Errno.fromNumber(-size, path);
  }
  return page.toString('latin1', 0, size);
}

/** The thread group of a thread, or undefined when the thread is gone. */
export function threadGroupOf(tid: number): number | undefined {
  const status = readProcFile(`/proc/${tid}/status`);
  if (status === undefined) return undefined;
  const at = status.indexOf('\nTgid:\t');
  return at < 0 ? undefined : Number.parseInt(status.slice(at + 7), 10);
}

/** With whose rights a thread touches files (fsuid, fsgid); undefined when it is gone. */
export function credentialsOf(tid: number): { readonly uid: number; readonly gid: number } | undefined {
  const status = readProcFile(`/proc/${tid}/status`) ?? '';
  const id = (name: string): number | undefined => {
    const [, text] = new RegExp(`^${name}:(?:\\t\\d+){3}\\t(\\d+)$`, 'm').exec(status) ?? [];
    return text === undefined ? undefined : Number(text);
  };
  const [uid, gid] = [id('Uid'), id('Gid')];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** The name of a thread (TASK_COMM), or undefined when the thread is gone. */
export function threadName(tid: number): string | undefined {
  return /^Name:\t(.*)$/m.exec(readProcFile(`/proc/${tid}/status`) ?? '')?.[1];
}

/** What /proc/<pid>/fdinfo/<fd> tells. */
export interface FdInfo {
  /** Inode number within its file system. */
  readonly ino: number;
  readonly mountId: number;
  /** Open flags, O_*. */
  readonly flags: number;
  readonly eventfd: boolean;
}

/** Enough of it for what is looked for, bytes. */
const FDINFO = 512;

const field = (text: string, name: string, radix: number): number => {
  const at = text.indexOf(name);
  return at < 0 ? -1 : Number.parseInt(text.slice(at + name.length), radix);
};

function parseFdInfo(text: string): FdInfo {
  return {
    ino: field(text, 'ino:\t', 10), mountId: field(text, 'mnt_id:\t', 10), flags: field(text, 'flags:\t', 8),
    eventfd: text.includes('eventfd-count:'),
  };
}

/** What is said of an epoll, unseen. */
const EPOLL: FdInfo = { ino: 0, mountId: 0, flags: 0, eventfd: false };

/**
 * undefined when the descriptor is not open (or the process is gone). Throws EACCES where the machine forbids it. Not while the
 * process may be in execve().
 */
export function readFdInfo(pid: number, fd: number): FdInfo | undefined {
  const path = `/proc/${pid}/fdinfo/${fd}`;
  using file = openProcFile(path);
  // Most numbers that are asked for are not open: the link is for those that are.
  if (file === undefined) return undefined;
  if (isEpoll(pid, fd)) return EPOLL;
  const text = textOf(file, path);
  return text === undefined ? undefined : parseFdInfo(text);
}

function isEpoll(pid: number, fd: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`) === 'anon_inode:[eventpoll]';
  } catch {
    return false;
  }
}

/** As readFdInfo(), and always allowed: a worker thread reads it. undefined too where it may not be looked at. */
export async function readFdInfoAsync(pid: number, fd: number): Promise<FdInfo | undefined> {
  try {
    using file = openProcFile(`/proc/${pid}/fdinfo/${fd}`);
    if (file === undefined) return undefined;
    const data = Buffer.alloc(FDINFO);
    return parseFdInfo(data.toString('latin1', 0, await readFdAsync(file.fd, data)));
  } catch {
    return undefined;
  }
}

/** A piece of a process's address space: [start, end), and the inode of the file that is mapped there, 0 for none. */
export interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly ino: number;
}

/**
 * The mapping that `address` lies in; undefined when there is none, or when it may not be looked at. Takes the same locks as an
 * access to the memory does, and for as short a time.
 */
export function mappingAt(tid: number, address: number): Mapping | undefined {
  const fd = cOpen(`/proc/${tid}/maps`, O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  try {
    let rest = '';
    for (;;) {
      const size = readFd(fd, page, page.length);
      if (size <= 0) return undefined;
      const lines = (rest + page.toString('latin1', 0, size)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const dash = line.indexOf('-');
        const end = Number.parseInt(line.slice(dash + 1), 16);
        if (end <= address) continue;
        // Sorted: the first one that ends behind it has it or none has.
        const start = Number.parseInt(line, 16);
        return start <= address ? { start, end, ino: Number(line.split(' ')[4]) } : undefined;
      }
    }
  } finally {
    closeFd(fd);
  }
}
