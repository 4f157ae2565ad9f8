/** Descriptors that this process owns: one owner each, closed once. */
import { Errno } from '../abi/errno.js';
import { bind, callAsync, check } from './libc.js';

const cClose = bind('close', 'int', ['int']);
const cDup3 = bind('dup3', 'int', ['int', 'int', 'int']);
const cFcntl = bind('fcntl', 'int', ['int', 'int', 'long']);
const F_DUPFD_CLOEXEC = 1030;

/** Implements kernfs's OwnedFd. */
export class Fd {
  #fd: number;

  /** Takes ownership of an open descriptor. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The number in this process; throws EBADF after close(). */
  get fd(): number {
    if (this.#fd < 0) throw new Errno('EBADF', 'closed');
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  close(): void {
    const fd = this.#fd;
    if (fd < 0) return;
    this.#fd = -1;
    cClose(fd);
  }

  /** Closes on a worker thread: for copies of files on our own mount, whose flush comes back to us. */
  async closeAsync(): Promise<void> {
    const fd = this.#fd;
    if (fd < 0) return;
    this.#fd = -1;
    await callAsync('close', cClose, fd).catch(() => undefined);
  }

  /** Gives the ownership away. */
  detach(): number {
    const fd = this.fd;
    this.#fd = -1;
    return fd;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** dup3(2): makes `to` the same open file as `from`; without FD_CLOEXEC. Throws the errno. */
export function dupTo(from: number, to: number): void {
  check(cDup3(from, to, 0), 'dup3');
}

/** Another descriptor of the same open file, close-on-exec. Throws the errno. */
export function duplicate(fd: number): Fd {
  return new Fd(check(cFcntl(fd, F_DUPFD_CLOEXEC, 0), 'F_DUPFD_CLOEXEC'));
}

/** close(2) of a bare number. Throws the errno. */
export function closeFd(fd: number): void {
  check(cClose(fd), 'close');
}
