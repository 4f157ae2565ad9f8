/**
 * OpenFile: the state of one open(2) and its operations. Lifetime: from FileNode.open() until release(), which is called
 * exactly once, after the last descriptor is closed and after every running operation has ended.
 *
 * An operation that is missing answers as a file_operations without it: read and write EINVAL, ioctl ENOTTY, poll ready.
 */
import type { Caller } from './caller.js';

export type Awaitable<T> = T | Promise<T>;

/** One request on an open file. */
export interface FileRequest {
  readonly caller: Caller;
  /** Aborted when the caller was interrupted (FUSE_INTERRUPT) or the lab stops. Made on first use. */
  readonly signal: AbortSignal;
  /** The file's open flags (O_RDWR, O_NONBLOCK, ...) as they are now. */
  readonly flags: number;
}

export interface OpenFile {
  /** What kind of file this is, for Caller.fileOf() users: they narrow with instanceof; this is for logs. */
  readonly kind: string;
  /** For traces, where `kind` alone is not enough: `vfio-device <name>`. */
  readonly label?: string;
  /** For traces, where ioctls mean something else than on other files of this kind: `vfio-device rfc`. */
  readonly ioctlKind?: string | undefined;
  /**
   * Bytes from `offset` on, at most `size`; fewer only at the end. May be a view of memory that stays unchanged until
   * the reply is out. Offsets above 2^53 arrive rounded.
   */
  read?(request: FileRequest, offset: number, size: number): Awaitable<Uint8Array>;
  /** Returns the number of bytes taken. `data` is only valid during the call: copy what is kept beyond the first await. */
  write?(request: FileRequest, offset: number, data: Uint8Array): Awaitable<number>;
  /** `command` is unsigned 32 bits, `argument` the raw third argument. Returns the ioctl's result, 0 or more. */
  ioctl?(request: FileRequest, command: number, argument: bigint): Awaitable<number>;
  /**
   * Ready events (EPOLL bits) now. With `wake`, the file calls it once when they may have changed: then poll is asked again.
   */
  poll?(request: FileRequest, wake: (() => void) | undefined): number;
  release(): Awaitable<void>;
}

/** How traces name it. */
export const labelOf = ({ label, kind }: OpenFile): string => label ?? kind;
