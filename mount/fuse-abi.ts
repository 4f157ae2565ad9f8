/**
 * The FUSE kernel protocol, versions 7.31 to 7.41, as data. Source: include/uapi/linux/fuse.h.
 *
 * `words()` turns a struct into indices of 32-bit words for the paths that run on every request: reading a field is then one
 * load from a Uint32Array. Everything is little-endian.
 */
import { bytes, s32, s64, struct, u16, u32, u64 } from '../src/abi/layout.js';

export const FUSE_KERNEL_VERSION = 7;
/** Highest minor version spoken. */
export const FUSE_KERNEL_MINOR_VERSION = 41;
/** Lowest minor version accepted (Linux 5.2). */
export const FUSE_MINIMUM_MINOR_VERSION = 31;
export const FUSE_ROOT_ID = 1;

/* INIT flags, bits 0 to 31. */
export const FUSE_ASYNC_READ = 1 << 0;
export const FUSE_ATOMIC_O_TRUNC = 1 << 3;
export const FUSE_BIG_WRITES = 1 << 5;
export const FUSE_HAS_IOCTL_DIR = 1 << 11;
export const FUSE_DO_READDIRPLUS = 1 << 13;
export const FUSE_READDIRPLUS_AUTO = 1 << 14;
export const FUSE_PARALLEL_DIROPS = 1 << 18;
export const FUSE_MAX_PAGES = 1 << 22;
export const FUSE_EXPLICIT_INVAL_DATA = 1 << 25;
export const FUSE_INIT_EXT = 1 << 30;
/* INIT flags, bits 32 to 63: those of flags2. */
export const FUSE_NO_EXPORT_SUPPORT = 1 << 6;

/* OPEN flags. */
export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_NONSEEKABLE = 1 << 2;
export const FOPEN_STREAM = 1 << 4;
export const FOPEN_NOFLUSH = 1 << 5;
export const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;

/* SETATTR valid bits. */
export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;

export const FUSE_POLL_SCHEDULE_NOTIFY = 1 << 0;

export const FUSE_NOTIFY_POLL = 1;
export const FUSE_NOTIFY_INVAL_INODE = 2;
export const FUSE_NOTIFY_INVAL_ENTRY = 3;

/** Alignment of directory entries, bytes. */
export const FUSE_DIRENT_ALIGN = 8;

export const fuse_in_header = struct('fuse_in_header', {
  len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32, total_extlen: u16, padding: u16,
});
export const fuse_out_header = struct('fuse_out_header', { len: u32, error: s32, unique: u64 });

export const fuse_attr = struct('fuse_attr', {
  ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32, mtimensec: u32, ctimensec: u32,
  mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32, blksize: u32, flags: u32,
});
export const fuse_sx_time = struct('fuse_sx_time', { tv_sec: s64, tv_nsec: u32, __reserved: s32 });
export const fuse_statx = struct('fuse_statx', {
  mask: u32, blksize: u32, attributes: u64, nlink: u32, uid: u32, gid: u32, mode: u16, __spare0: u16, ino: u64, size: u64,
  blocks: u64, attributes_mask: u64, atime: fuse_sx_time, btime: fuse_sx_time, ctime: fuse_sx_time, mtime: fuse_sx_time,
  rdev_major: u32, rdev_minor: u32, dev_major: u32, dev_minor: u32, __spare2: bytes(14 * 8),
});
export const fuse_entry_out = struct('fuse_entry_out', {
  nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32, attr_valid_nsec: u32, attr: fuse_attr,
});
export const fuse_attr_out = struct('fuse_attr_out', { attr_valid: u64, attr_valid_nsec: u32, dummy: u32, attr: fuse_attr });
export const fuse_statx_in = struct('fuse_statx_in', { getattr_flags: u32, reserved: u32, fh: u64, sx_flags: u32, sx_mask: u32 });
export const fuse_statx_out = struct('fuse_statx_out', {
  attr_valid: u64, attr_valid_nsec: u32, flags: u32, spare: bytes(16), stat: fuse_statx,
});
export const fuse_forget_in = struct('fuse_forget_in', { nlookup: u64 });
export const fuse_forget_one = struct('fuse_forget_one', { nodeid: u64, nlookup: u64 });
export const fuse_batch_forget_in = struct('fuse_batch_forget_in', { count: u32, dummy: u32 });
export const fuse_getattr_in = struct('fuse_getattr_in', { getattr_flags: u32, dummy: u32, fh: u64 });
export const fuse_setattr_in = struct('fuse_setattr_in', {
  valid: u32, padding: u32, fh: u64, size: u64, lock_owner: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32,
  mtimensec: u32, ctimensec: u32, mode: u32, unused4: u32, uid: u32, gid: u32, unused5: u32,
});
export const fuse_mknod_in = struct('fuse_mknod_in', { mode: u32, rdev: u32, umask: u32, padding: u32 });
export const fuse_rename2_in = struct('fuse_rename2_in', { newdir: u64, flags: u32, padding: u32 });
export const fuse_open_in = struct('fuse_open_in', { flags: u32, open_flags: u32 });
export const fuse_open_out = struct('fuse_open_out', { fh: u64, open_flags: u32, backing_id: s32 });
export const fuse_release_in = struct('fuse_release_in', { fh: u64, flags: u32, release_flags: u32, lock_owner: u64 });
export const fuse_flush_in = struct('fuse_flush_in', { fh: u64, unused: u32, padding: u32, lock_owner: u64 });
export const fuse_read_in = struct('fuse_read_in', {
  fh: u64, offset: u64, size: u32, read_flags: u32, lock_owner: u64, flags: u32, padding: u32,
});
export const fuse_write_in = struct('fuse_write_in', {
  fh: u64, offset: u64, size: u32, write_flags: u32, lock_owner: u64, flags: u32, padding: u32,
});
export const fuse_write_out = struct('fuse_write_out', { size: u32, padding: u32 });
export const fuse_kstatfs = struct('fuse_kstatfs', {
  blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32, frsize: u32, padding: u32,
  spare: bytes(24),
});
export const fuse_setxattr_in = struct('fuse_setxattr_in', { size: u32, flags: u32, setxattr_flags: u32, padding: u32 });
/** What the kernel sends when FUSE_SETXATTR_EXT was not agreed on, bytes. */
export const FUSE_COMPAT_SETXATTR_IN_SIZE = 8;
export const fuse_getxattr_in = struct('fuse_getxattr_in', { size: u32, padding: u32 });
export const fuse_getxattr_out = struct('fuse_getxattr_out', { size: u32, padding: u32 });
export const fuse_access_in = struct('fuse_access_in', { mask: u32, padding: u32 });
export const fuse_init_in = struct('fuse_init_in', {
  major: u32, minor: u32, max_readahead: u32, flags: u32, flags2: u32, unused: bytes(44),
});
export const fuse_init_out = struct('fuse_init_out', {
  major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16, congestion_threshold: u16, max_write: u32,
  time_gran: u32, max_pages: u16, map_alignment: u16, flags2: u32, max_stack_depth: u32, unused: bytes(24),
});
export const fuse_interrupt_in = struct('fuse_interrupt_in', { unique: u64 });
export const fuse_ioctl_in = struct('fuse_ioctl_in', { fh: u64, flags: u32, cmd: u32, arg: u64, in_size: u32, out_size: u32 });
export const fuse_ioctl_out = struct('fuse_ioctl_out', { result: s32, flags: u32, in_iovs: u32, out_iovs: u32 });
export const fuse_poll_in = struct('fuse_poll_in', { fh: u64, kh: u64, flags: u32, events: u32 });
export const fuse_poll_out = struct('fuse_poll_out', { revents: u32, padding: u32 });
export const fuse_lseek_in = struct('fuse_lseek_in', { fh: u64, offset: u64, whence: u32, padding: u32 });
export const fuse_dirent = struct('fuse_dirent', { ino: u64, off: u64, namelen: u32, type: u32 });
export const fuse_notify_poll_wakeup_out = struct('fuse_notify_poll_wakeup_out', { kh: u64 });
export const fuse_notify_inval_inode_out = struct('fuse_notify_inval_inode_out', { ino: u64, off: s64, len: s64 });
export const fuse_notify_inval_entry_out = struct('fuse_notify_inval_entry_out', { parent: u64, namelen: u32, flags: u32 });

/** Bytes in a word. */
export const WORD = 4;

/** Index of each field in a Uint32Array with the struct at byte `base`; fields of 8 bytes take two words, low first. */
export function words<F extends Record<string, { readonly offset: number }>>(
  type: { readonly fields: F }, base = 0,
): { readonly [K in keyof F]: number } {
  const rows = Object.entries(type.fields).map(([name, { offset }]) => [name, Math.trunc((base + offset) / WORD)]);
  return Object.fromEntries(rows) as { readonly [K in keyof F]: number };
}

/** Where the arguments of a request start, bytes. */
export const IN_BODY = fuse_in_header.size;
/** Where the payload of a reply starts, bytes. */
export const OUT_BODY = fuse_out_header.size;
