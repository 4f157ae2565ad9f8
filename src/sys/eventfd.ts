/** Eventfds: the counters that devices signal and VMMs wait on. Source: fs/eventfd.c. */
import { ERRNO, Errno } from '../abi/errno.js';
import { Fd } from './fd.js';
import { isNonBlocking, pollFd, POLLOUT, readFd, readFdNow, writeFd } from './io.js';
import { bind, check } from './libc.js';

const cEventfd = bind('eventfd', 'int', ['uint', 'int']);
export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;

const ONE = new Uint8Array(8);
ONE[0] = 1;

/** eventfd(2); close-on-exec and non-blocking. */
export function createEventfd(initial = 0): Fd {
  return new Fd(check(cEventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK), 'eventfd'));
}

/**
 * Adds one, as eventfd_signal() does. A full counter (2^64-2) keeps its value: like the kernel's, that is not an error. Never
 * waits, although the eventfd is a client's and may be blocking.
 */
export function signalEventfd(fd: number): void {
  if (!isNonBlocking(fd) && (pollFd(fd, POLLOUT, 0) & POLLOUT) === 0) return;
  const result = writeFd(fd, ONE, 8);
  if (result < 0 && result !== -ERRNO.EAGAIN) throw Errno.fromNumber(-result, 'eventfd write');
}

/** The counter, which becomes 0; 0n when it was 0 (non-blocking eventfds only). */
export const drainEventfd = (fd: number): bigint => drain((data) => readFd(fd, data, data.length));

/** As drainEventfd(), and never waits, whatever others who have the same eventfd make of its flags. Needs Linux 5.8. */
export const drainSharedEventfd = (fd: number): bigint => drain((data) => readFdNow(fd, data));

function drain(read: (data: Uint8Array) => number): bigint {
  const data = new BigUint64Array(1);
  const result = read(new Uint8Array(data.buffer));
  if (result === -ERRNO.EAGAIN) return 0n;
  if (result < 0) throw Errno.fromNumber(-result, 'eventfd read');
  return data[0] ?? 0n;
}
