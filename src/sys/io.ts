/**
 * Reads and writes on descriptors, as cheap as they get through koffi: a negative return value is -errno, nothing is thrown.
 */
import { Errno } from '../abi/errno.js';
import { encodeIovec } from './iovec.js';
import { addressOf, bind, callAsync, check, lastErrno } from './libc.js';

const cRead = bind('read', 'long', ['int', 'pointer', 'size']);
const cWrite = bind('write', 'long', ['int', 'pointer', 'size']);
const cWritev = bind('writev', 'long', ['int', 'pointer', 'int']);
const cPread = bind('pread', 'long', ['int', 'pointer', 'size', 'long']);
const cPreadv2 = bind('preadv2', 'long', ['int', 'pointer', 'int', 'long', 'int']);
const cPwrite = bind('pwrite', 'long', ['int', 'pointer', 'size', 'long']);
const cOpen = bind('open', 'int', ['string', 'int', 'uint']);
const cFcntl = bind('fcntl', 'int', ['int', 'int', 'long']);
const cIoctl = bind('ioctl', 'int', ['int', 'ulong', 'pointer']);
const cIoctlWord = bind('ioctl', 'int', ['int', 'ulong', 'ulong']);
const cPoll = bind('poll', 'int', ['pointer', 'ulong', 'int']);

/** Of preadv2(2). */
const NO_OFFSET = -1;
const RWF_NOWAIT = 8;

/** Bytes read, or -errno. */
export function readFd(fd: number, data: Uint8Array, size: number): number {
  const result = cRead(fd, data, size);
  return result < 0 ? -lastErrno() : result;
}

/** preadv2(2) where the file is, without a wait whatever its flags are: -EAGAIN then. Bytes read, or -errno. */
export function readFdNow(fd: number, data: Uint8Array): number {
  const result = cPreadv2(fd, encodeIovec(data), 1, NO_OFFSET, RWF_NOWAIT);
  return result < 0 ? -lastErrno() : result;
}

/** Bytes written, or -errno. */
export function writeFd(fd: number, data: Uint8Array, size: number): number {
  const result = cWrite(fd, data, size);
  return result < 0 ? -lastErrno() : result;
}

/** pread(2). Bytes read, or -errno. */
export function preadFd(fd: number, data: Uint8Array, offset: number): number {
  const result = cPread(fd, data, data.length, offset);
  return result < 0 ? -lastErrno() : result;
}

/** pwrite(2). Bytes written, or -errno. */
export function pwriteFd(fd: number, data: Uint8Array, offset: number): number {
  const result = cPwrite(fd, data, data.length, offset);
  return result < 0 ? -lastErrno() : result;
}

/** read(2) on a worker thread. Bytes read; rejects with Errno. `data` must not be used until it settles. */
export const readFdAsync = (fd: number, data: Uint8Array): Promise<number> => callAsync('read', cRead, fd, data, data.length);

/** write(2) on a worker thread. `data` must not change until it settles. */
export const writeFdAsync = (fd: number, data: Uint8Array): Promise<number> => callAsync('write', cWrite, fd, data, data.length);

const IOVEC = 16;
const pair = new BigUint64Array((2 * IOVEC) / 8);
const pairBytes = new Uint8Array(pair.buffer);

/** One writev(2) of two buffers, without copying. Bytes written, or -errno. */
export function writeFd2(fd: number, head: Uint8Array, headSize: number, body: Uint8Array): number {
  pair[0] = addressOf(head);
  pair[1] = BigInt(headSize);
  pair[2] = addressOf(body);
  pair[3] = BigInt(body.length);
  const result = cWritev(fd, pairBytes, 2);
  return result < 0 ? -lastErrno() : result;
}

/** One writev(2) of at most IOV_MAX buffers, without copying. Bytes written, perhaps not all, or -errno. */
export function writevFd(fd: number, parts: readonly Uint8Array[]): number {
  const vector = new BigUint64Array(parts.length * IOVEC / 8);
  parts.forEach((part, at) => {
    vector[2 * at] = addressOf(part);
    vector[2 * at + 1] = BigInt(part.length);
  });
  const result = cWritev(fd, new Uint8Array(vector.buffer), parts.length);
  return result < 0 ? -lastErrno() : result;
}

/** open(2) with O_CLOEXEC unless `flags` says otherwise through `inherit`. Throws the errno. */
export function openFd(path: string, flags: number, options: { inherit?: boolean; mode?: number } = {}): number {
  return check(cOpen(path, options.inherit === true ? flags : flags | O_CLOEXEC, options.mode ?? 0), `open ${path}`);
}

/** openFd() on a worker thread, for files of a mount that this thread serves. Rejects with Errno. */
export const openFdAsync = (path: string, flags: number): Promise<number> => callAsync(`open ${path}`, cOpen, path, flags | O_CLOEXEC, 0);

export const O_CLOEXEC = 0o2000000;
const F_GETFL = 3;
const F_SETFL = 4;
const F_SETFD = 2;
const O_NONBLOCK = 0o4000;

export function setNonBlocking(fd: number): void {
  const flags = check(cFcntl(fd, F_GETFL, 0), 'F_GETFL');
  check(cFcntl(fd, F_SETFL, flags | O_NONBLOCK), 'F_SETFL');
}

export function isNonBlocking(fd: number): boolean {
  return (check(cFcntl(fd, F_GETFL, 0), 'F_GETFL') & O_NONBLOCK) !== 0;
}

/** Sets or clears FD_CLOEXEC. */
export function setCloseOnExec(fd: number, on: boolean): void {
  check(cFcntl(fd, F_SETFD, on ? 1 : 0), 'F_SETFD');
}

/** ioctl(2) with a pointer argument. Throws the errno. */
export function ioctlFd(fd: number, command: number, argument: Uint8Array | null): number {
  return check(cIoctl(fd, command, argument), 'ioctl');
}

/** ioctl(2) with a plain number. Throws the errno. */
export function ioctlWord(fd: number, command: number, argument: number): number {
  return check(cIoctlWord(fd, command, argument), 'ioctl');
}

/** ioctl(2) with a plain number, on a worker thread. Rejects with Errno. */
export function ioctlFdAsync(fd: number, command: number, argument: bigint): Promise<number> {
  return callAsync('ioctl', cIoctlWord, fd, command, argument);
}

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLHUP = 16;

/** poll(2) of one descriptor; `timeout` in milliseconds, 0 does not wait. Returns revents. */
export function pollFd(fd: number, events: number, timeout: number): number {
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, events, true);
  const result = cPoll(new Uint8Array(pollfd.buffer), 1, timeout);
  if (result < 0) {
    const errno = Errno.fromNumber(lastErrno(), 'poll');
    if (errno.code === 'EINTR' && timeout === 0) return 0;
    throw errno;
  }
  return pollfd.getInt16(6, true);
}
