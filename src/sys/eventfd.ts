/** Eventfds: the counters that devices signal and VMMs wait on. Source: fs/eventfd.c. */
import { ERRNO, Errno } from '../abi/errno.js';
import { AioSignal } from './aio-signal.js';
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
 * Adds one, as eventfd_signal() does, and never waits, although the eventfd is a client's and may be blocking: a full counter
 * is not an error. Throws EINVAL where it is no eventfd.
 */
export function signalEventfd(fd: number): void {
  signal ??= kernelSignal() ?? signalByWrite;
  signal(fd);
}
let signal: ((fd: number) => void) | undefined;

/** undefined where the kernel can't: what there is of AIO is tried out, for some sandboxes have a part of it. */
export function kernelSignal(): ((fd: number) => void) | undefined {
  using probe = createEventfd();
  try {
    const aio = AioSignal.create();
    aio.signal(probe.fd);
    return drainEventfd(probe.fd) === 1n ? (fd) => aio.signal(fd) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Where the kernel gives no AIO. Waits where somebody makes the eventfd blocking, or fills one that is, in the instant before the
 * write; and a counter of 2^64-2 stays so.
 */
export function signalByWrite(fd: number): void {
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
