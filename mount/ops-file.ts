/** Open files: OPEN, READ, WRITE, IOCTL, POLL, FLUSH, RELEASE and what surrounds them. */
import { ERRNO, Errno } from '../src/abi/errno.js';
import { FileNode } from '../src/kernfs/file-node.js';
import type { Awaitable, FileRequest, OpenFile } from '../src/kernfs/file.js';
import type { Node } from '../src/kernfs/node.js';
import { tracing } from '../src/trace/trace.js';
import {
  FOPEN_DIRECT_IO, FOPEN_NOFLUSH, FOPEN_PARALLEL_DIRECT_WRITES, FUSE_POLL_SCHEDULE_NOTIFY, IN_BODY, OUT_BODY, fuse_flush_in,
  fuse_ioctl_in, fuse_ioctl_out, fuse_open_in, fuse_poll_in, fuse_poll_out, fuse_read_in, fuse_release_in, fuse_write_in, words,
} from './fuse-abi.js';
import type { Handle } from './handles.js';
import { releaseFile } from './handles.js';
import type { Request } from './request.js';
import type { Session } from './session.js';
import { SlotFile } from './slots.js';
import { traceIoctl, traceTransfer } from './trace-io.js';

const OPEN = words(fuse_open_in, IN_BODY);
const READ = words(fuse_read_in, IN_BODY);
const WRITE = words(fuse_write_in, IN_BODY);
const WRITE_DATA = IN_BODY + fuse_write_in.size;
const IOCTL = words(fuse_ioctl_in, IN_BODY);
const IOCTL_OUT = words(fuse_ioctl_out, OUT_BODY);
const POLL = words(fuse_poll_in, IN_BODY);
const POLL_OUT = words(fuse_poll_out, OUT_BODY);
const RELEASE = words(fuse_release_in, IN_BODY);
const FLUSH = words(fuse_flush_in, IN_BODY);

/** open(2) flag; kernfs files have no direct I/O. */
const O_DIRECT = process.arch === 'arm64' ? 0o200000 : 0o40000;
/** EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM: what a file without poll answers (include/linux/poll.h). */
const DEFAULT_POLLMASK = 0x145;
const EMPTY = new Uint8Array(0);

/** Who answers on this handle: the file, or what is bound to the slot. */
function target(handle: Handle): OpenFile {
  return handle.file instanceof SlotFile ? handle.file.target : handle.file;
}

function fileHandle(session: Session, request: Request, fh: number): Handle {
  const handle = session.handles.file(fh);
  if (handle === undefined) throw new Errno('EBADF');
  request.handle = handle;
  return handle;
}

export function open(session: Session, request: Request): void | Promise<void> {
  const node = session.node(request.nodeid);
  if (!(node instanceof FileNode)) throw new Errno(node.kind === 'dir' ? 'EISDIR' : 'ELOOP');
  if (node.removed) throw session.goneByPath('ENODEV');
  request.flags = session.message.u32(OPEN.flags);
  const file = node.open(request);
  if (file instanceof Promise) return file.then((opened) => finishOpen(session, request, node, opened));
  finishOpen(session, request, node, file);
}

function finishOpen(session: Session, request: Request, node: Node, file: OpenFile): void {
  if (session.ended || (request.flags & O_DIRECT) !== 0) {
    releaseFile(file);
    throw session.ended ? new Errno('ENODEV', 'unmounted') : new Errno('EINVAL', 'O_DIRECT');
  }
  const handle = session.handles.openFile(node, file, request.flags);
  const own = file instanceof SlotFile ? file.node.openFlags : FOPEN_NOFLUSH;
  session.replies.opened(request, handle.fh, FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | own);
}

export function read(session: Session, request: Request): void | Promise<void> {
  const { message } = session;
  const file = target(fileHandle(session, request, message.u64(READ.fh)));
  if (file.read === undefined) throw new Errno('EINVAL');
  request.flags = message.u32(READ.flags);
  const size = message.u32(READ.size);
  const offset = message.u64(READ.offset);
  const data = tracing('vfio')
    ? traceTransfer(request, file, 'read', offset, size, () => file.read?.(request, offset, size) ?? EMPTY, (bytes) => bytes.length)
    : file.read(request, offset, size);
  if (data instanceof Promise) return data.then((bytes) => session.replies.bytes(request, atMost(bytes, size)));
  session.replies.bytes(request, atMost(data, size));
}

/** The kernel takes a reply that is longer than it asked for as an error. */
function atMost(data: Uint8Array, size: number): Uint8Array {
  return data.length > size ? data.subarray(0, size) : data;
}

export function write(session: Session, request: Request): void | Promise<void> {
  const { message } = session;
  const file = target(fileHandle(session, request, message.u64(WRITE.fh)));
  if (file.write === undefined) throw new Errno('EINVAL');
  request.flags = message.u32(WRITE.flags);
  const data = message.bytes(WRITE_DATA, message.u32(WRITE.size));
  const offset = message.u64(WRITE.offset);
  const count = tracing('vfio')
    ? traceTransfer(request, file, 'write', offset, data.length, () => file.write?.(request, offset, data) ?? 0, (bytes) => bytes)
    : file.write(request, offset, data);
  if (count instanceof Promise) return count.then((size) => session.written(request, size));
  return session.written(request, count);
}

/**
 * Restricted ioctls: the argument's address always comes along, and everything is read and written there, also where the
 * command's number says how large the argument is and the kernel sent a copy. So no payload goes back.
 */
export function ioctl(session: Session, request: Request): void | Promise<void> {
  const { message } = session;
  if (session.handles.dir(message.u64(IOCTL.fh)) !== undefined) throw new Errno('ENOTTY');
  const handle = fileHandle(session, request, message.u64(IOCTL.fh));
  const command = message.u32(IOCTL.cmd);
  const argument = message.big(IOCTL.arg);
  if (session.clientFds.answerProbe(handle, command, argument)) return ioctlDone(session, request, 0);
  request.flags = handle.flags;
  let result: Awaitable<number>;
  try {
    result = runIoctl(request, handle, command, argument);
  } catch (error) {
    return ioctlFailed(session, request, error);
  }
  if (result instanceof Promise) {
    return result.then((value) => ioctlDone(session, request, value), (error: unknown) => ioctlFailed(session, request, error));
  }
  ioctlDone(session, request, result);
}

/** The ioctl's result, 0 or more. Throws or rejects with Errno. */
export function runIoctl(request: FileRequest, handle: Handle, command: number, argument: bigint): Awaitable<number> {
  const file = target(handle);
  if (file.ioctl === undefined) throw new Errno('ENOTTY');
  if (!tracing('vfio')) return file.ioctl(request, command, argument);
  return traceIoctl(request, file, command, argument, () => file.ioctl?.(request, command, argument) ?? 0);
}

function ioctlDone(session: Session, request: Request, result: number): void {
  const out = session.replies.words;
  out[IOCTL_OUT.result] = result;
  out[IOCTL_OUT.flags] = 0;
  out[IOCTL_OUT.in_iovs] = 0;
  out[IOCTL_OUT.out_iovs] = 0;
  session.replies.send(request, fuse_ioctl_out.size);
}

/** ENOSYS in the header would become ENOTTY in the kernel; as the ioctl's result it stays. */
function ioctlFailed(session: Session, request: Request, error: unknown): void {
  if (error instanceof Errno && error.code === 'ENOSYS') ioctlDone(session, request, -ERRNO.ENOSYS);
  else throw error;
}

export function poll(session: Session, request: Request): void {
  const { message } = session;
  const handle = fileHandle(session, request, message.u64(POLL.fh));
  const file = target(handle);
  request.flags = handle.flags;
  let revents = DEFAULT_POLLMASK;
  if (file.poll !== undefined) {
    const kh = message.big(POLL.kh);
    const wanted = (message.u32(POLL.flags) & FUSE_POLL_SCHEDULE_NOTIFY) !== 0 && handle.pollArmed !== file;
    if (wanted) handle.pollArmed = file;
    revents = file.poll(request, wanted ? (): void => {
      if (handle.pollArmed === file) handle.pollArmed = undefined;
      if (!handle.closed) session.notices.wake(kh);
    } : undefined);
  }
  session.replies.words[POLL_OUT.revents] = revents;
  session.replies.words[POLL_OUT.padding] = 0;
  session.replies.send(request, fuse_poll_out.size);
}

/** close(2) of one descriptor; only slots ask for it. The file given away is released before close() returns, as the kernel's. */
export async function flush(session: Session, request: Request): Promise<void> {
  const { file } = fileHandle(session, request, session.message.u64(FLUSH.fh));
  // Not an operation on what is released here: that would then wait for its end.
  request.handle = undefined;
  if (file instanceof SlotFile) await session.slots.closed(file);
  session.replies.done(request);
}

export function release(session: Session, request: Request): void {
  session.handles.closeFile(session.message.u64(RELEASE.fh));
  session.replies.done(request);
}

/** Nothing is ever dirty; only attribute files can be asked (kernfs_file_fops has noop_fsync). */
export function fsync(session: Session, request: Request): void {
  const node = session.node(request.nodeid);
  if (!(node instanceof FileNode) || node.special) throw new Errno('EINVAL');
  session.replies.done(request);
}
