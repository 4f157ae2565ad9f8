/** Requests about the session itself: INIT, INTERRUPT, DESTROY. */
import { Errno } from '../src/abi/errno.js';
import { trace, tracing } from '../src/trace/trace.js';
import {
  FUSE_ATOMIC_O_TRUNC, FUSE_BIG_WRITES, FUSE_DO_READDIRPLUS, FUSE_EXPLICIT_INVAL_DATA, FUSE_HAS_IOCTL_DIR, FUSE_INIT_EXT,
  FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION, FUSE_MAX_PAGES, FUSE_MINIMUM_MINOR_VERSION, FUSE_NO_EXPORT_SUPPORT,
  FUSE_PARALLEL_DIROPS, FUSE_READDIRPLUS_AUTO, IN_BODY, fuse_init_in, fuse_init_out, fuse_interrupt_in, words,
} from './fuse-abi.js';
import { PAGE_SIZE } from './encode.js';
import { MAX_WRITE } from './message.js';
import type { Request } from './request.js';
import type { Session } from './session.js';

const INIT = words(fuse_init_in, IN_BODY);
const INTERRUPT = words(fuse_interrupt_in, IN_BODY);

/** Everything else that a kernel may offer is left to it or switched off. */
const WANTED = FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_HAS_IOCTL_DIR | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO
  | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_EXPLICIT_INVAL_DATA | FUSE_INIT_EXT;
/** File handles (name_to_handle_at) are not for sysfs. */
const WANTED2 = FUSE_NO_EXPORT_SUPPORT;
/** Requests the kernel may queue in the background: forgets and releases of many processes. */
const MAX_BACKGROUND = 512;
const CONGESTION_THRESHOLD = 384;

export function init(session: Session, request: Request): void {
  const { message } = session;
  const major = message.u32(INIT.major);
  const minor = message.u32(INIT.minor);
  if (major > FUSE_KERNEL_VERSION) {
    // A newer kernel asks again with our major number.
    session.replies.bytes(request, fuse_init_out.encode({ major: FUSE_KERNEL_VERSION, minor: FUSE_KERNEL_MINOR_VERSION }));
    return;
  }
  if (major < FUSE_KERNEL_VERSION || minor < FUSE_MINIMUM_MINOR_VERSION) {
    const oldest = `7.${FUSE_MINIMUM_MINOR_VERSION} (Linux 5.2)`;
    session.end(`the kernel speaks FUSE ${major}.${minor}; ${oldest} is the oldest that is known here`);
    throw new Errno('EPROTO');
  }
  const flags = message.u32(INIT.flags) & WANTED;
  const flags2 = (flags & FUSE_INIT_EXT) === 0 ? 0 : message.u32(INIT.flags2) & WANTED2;
  trace('fuse.init', { major, minor, flags: BigInt(flags >>> 0) });
  session.replies.bytes(request, fuse_init_out.encode({
    major: FUSE_KERNEL_VERSION, minor: Math.min(minor, FUSE_KERNEL_MINOR_VERSION),
    max_readahead: message.u32(INIT.max_readahead), flags: flags >>> 0, max_background: MAX_BACKGROUND,
    congestion_threshold: CONGESTION_THRESHOLD, max_write: MAX_WRITE, time_gran: 1, max_pages: MAX_WRITE / PAGE_SIZE, flags2,
  }));
  session.initialized();
}

export function interrupt(session: Session): void {
  const unique = session.message.u64(INTERRUPT.unique);
  if (tracing('fuse')) trace('fuse.interrupt', { unique: BigInt(unique) });
  session.interrupt(unique);
}

export function destroy(session: Session, request: Request): void {
  session.replies.done(request);
  session.end('destroyed');
}
