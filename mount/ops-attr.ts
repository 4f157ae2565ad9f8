/** Attributes of nodes: GETATTR, STATX, SETATTR, ACCESS, STATFS. */
import { Errno } from '../src/abi/errno.js';
import { FileNode } from '../src/kernfs/file-node.js';
import type { NodeAttributes } from '../src/kernfs/node.js';
import {
  FATTR_ATIME, FATTR_ATIME_NOW, FATTR_GID, FATTR_MODE, FATTR_MTIME, FATTR_MTIME_NOW, FATTR_SIZE, FATTR_UID, IN_BODY,
  fuse_attr_out, fuse_kstatfs, fuse_setattr_in, fuse_statx_out, words,
} from './fuse-abi.js';
import { LONG, PAGE_SIZE, putAttrOut, splitTime } from './encode.js';
import { BODY } from './reply.js';
import type { Request } from './request.js';
import type { Session } from './session.js';

const SETATTR = words(fuse_setattr_in, IN_BODY);
const PERMISSIONS = 0o7777;
/** STATX_BASIC_STATS without STATX_BTIME: kernfs has no birth time. Source: include/uapi/linux/stat.h. */
const STATX_BASIC_STATS = 0x7ff;

/** Also of removed nodes: fstat on an open file keeps working. */
export function getattr(session: Session, request: Request): void {
  putAttrOut(session.replies.words, BODY, session.node(request.nodeid), session.view);
  session.replies.send(request, fuse_attr_out.size);
}

export function statx(session: Session, request: Request): void {
  const stat = session.node(request.nodeid).stat();
  const time = (ns: bigint): { tv_sec: bigint; tv_nsec: number; __reserved: number } => {
    const { seconds, nanoseconds } = splitTime(ns);
    return { tv_sec: seconds, tv_nsec: nanoseconds, __reserved: 0 };
  };
  const reply = fuse_statx_out.encode({
    attr_valid: BigInt(LONG),
    stat: {
      ...fuse_statx_out.decode(new Uint8Array(fuse_statx_out.size)).stat,
      mask: STATX_BASIC_STATS, blksize: PAGE_SIZE, nlink: stat.nlink, mode: stat.mode,
      uid: session.view.uid(stat.uid), gid: session.view.gid(stat.gid),
      ino: BigInt(session.view.outside(stat.ino)), size: BigInt(stat.size), blocks: BigInt(stat.blocks),
      atime: time(stat.atime), mtime: time(stat.mtime), ctime: time(stat.ctime),
    },
  });
  session.replies.bytes(request, reply);
}

/** kernfs_iop_setattr(). A new size is accepted and changes nothing, as sysfs has it. */
export function setattr(session: Session, request: Request): void {
  const node = session.node(request.nodeid);
  const { message } = session;
  const valid = message.u32(SETATTR.valid);
  if ((valid & FATTR_SIZE) !== 0) {
    if (node instanceof FileNode && node.special) throw new Errno('EINVAL');
    if (message.u64(SETATTR.size) > node.tree.profile.truncateLimit) throw new Errno('EFBIG');
  }
  const changes: Partial<NodeAttributes> = {};
  if ((valid & FATTR_MODE) !== 0) changes.mode = message.u32(SETATTR.mode) & PERMISSIONS;
  if ((valid & FATTR_UID) !== 0) changes.uid = message.u32(SETATTR.uid);
  if ((valid & FATTR_GID) !== 0) changes.gid = message.u32(SETATTR.gid);
  if ((valid & FATTR_ATIME) !== 0) changes.atime = time(valid & FATTR_ATIME_NOW, SETATTR.atime, SETATTR.atimensec);
  if ((valid & FATTR_MTIME) !== 0) changes.mtime = time(valid & FATTR_MTIME_NOW, SETATTR.mtime, SETATTR.mtimensec);
  if (Object.keys(changes).length > 0) session.setAttributes(node, changes);
  getattr(session, request);

  function time(now: number, seconds: number, nanoseconds: number): bigint {
    if (now !== 0) return BigInt(Date.now()) * 1_000_000n;
    return BigInt.asIntN(64, message.big(seconds)) * 1_000_000_000n + BigInt(message.u32(nanoseconds));
  }
}

/** Only reached when the kernel does not check permissions itself (default_permissions does). */
export function access(session: Session, request: Request): void {
  session.node(request.nodeid);
  session.replies.done(request);
}

export function statfs(session: Session, request: Request): void {
  const reply = fuse_kstatfs.encode({ bsize: PAGE_SIZE, namelen: 255, frsize: PAGE_SIZE });
  session.replies.bytes(request, reply);
}

