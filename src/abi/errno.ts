/**
 * Errno: the one error value that crosses a kernel boundary.
 *
 * Handlers throw it; one place per boundary (mount/reply.ts for FUSE) turns it into a negative number. Success cannot be
 * expressed. Source: include/uapi/asm-generic/errno-base.h, errno.h (x86, arm64).
 */
export const ERRNO = {
  EPERM: 1, ENOENT: 2, ESRCH: 3, EINTR: 4, EIO: 5, ENXIO: 6, E2BIG: 7, ENOEXEC: 8, EBADF: 9, ECHILD: 10, EAGAIN: 11,
  ENOMEM: 12, EACCES: 13, EFAULT: 14, ENOTBLK: 15, EBUSY: 16, EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20, EISDIR: 21,
  EINVAL: 22, ENFILE: 23, EMFILE: 24, ENOTTY: 25, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28, ESPIPE: 29, EROFS: 30, EMLINK: 31,
  EPIPE: 32, EDOM: 33, ERANGE: 34, EDEADLK: 35, ENAMETOOLONG: 36, ENOSYS: 38, ENOTEMPTY: 39, ELOOP: 40, ENOMSG: 42,
  ENODATA: 61, EPROTO: 71, EBADMSG: 74, EOVERFLOW: 75, EBADFD: 77, EILSEQ: 84, EUSERS: 87, EMSGSIZE: 90, EOPNOTSUPP: 95,
  EADDRINUSE: 98, EADDRNOTAVAIL: 99, ECONNABORTED: 103,
  ENOBUFS: 105, EISCONN: 106, ENOTCONN: 107, ETIMEDOUT: 110, ECONNREFUSED: 111, EALREADY: 114, EINPROGRESS: 115,
  ESTALE: 116, EDQUOT: 122, ECANCELED: 125,
} as const;

export type ErrnoName = keyof typeof ERRNO;

const NAMES = new Map<number, ErrnoName>(Object.entries(ERRNO).map(([name, number]) => [number, name as ErrnoName]));

export class Errno extends Error {
  override readonly name = 'Errno';
  /** Kernel spelling, `EBUSY`. The property is called `code` as in Node's own errors. */
  readonly code: ErrnoName;
  /** The positive number. */
  readonly errno: number;
  /** For people: what it is about. */
  readonly detail: string | undefined;

  constructor(code: ErrnoName, detail?: string) {
    super(detail === undefined ? code : `${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
    this.errno = ERRNO[code];
  }

  /** From a positive number as a system call left it; an unknown number becomes EIO. */
  static fromNumber(errno: number, detail?: string): Errno {
    return new Errno(NAMES.get(errno) ?? 'EIO', detail);
  }
}

/** The error to throw on: an Errno that says nothing but its name gets that detail. */
export function withDetail(error: unknown, detail: string): unknown {
  return isErrno(error) && error.detail === undefined ? new Errno(error.code, detail) : error;
}

/** The name of a positive errno, or undefined. */
export function errnoName(errno: number): ErrnoName | undefined {
  return NAMES.get(errno);
}

export function isErrno(error: unknown, code?: ErrnoName): error is Errno {
  return error instanceof Errno && (code === undefined || error.code === code);
}
