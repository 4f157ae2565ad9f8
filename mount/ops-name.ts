/** Requests by name and on the namespace. sysfs has no operation that changes it: each refusal is the one of fs/kernfs/dir.c. */
import { Errno } from '../src/abi/errno.js';
import type { ErrnoName } from '../src/abi/errno.js';
import { Dir } from '../src/kernfs/dir.js';
import { S_IFMT, S_IFREG } from '../src/kernfs/node.js';
import { Symlink } from '../src/kernfs/symlink.js';
import {
  IN_BODY, WORD, fuse_batch_forget_in, fuse_entry_out, fuse_forget_in, fuse_forget_one, fuse_mknod_in,
  fuse_rename2_in, words,
} from './fuse-abi.js';
import { putEntry } from './encode.js';
import { BODY } from './reply.js';
import type { Request } from './request.js';
import type { Session } from './session.js';

const FORGET = words(fuse_forget_in, IN_BODY);
const BATCH = words(fuse_batch_forget_in, IN_BODY);
const FORGET_ONE = words(fuse_forget_one);
const MKNOD = words(fuse_mknod_in, IN_BODY);
const RENAME2 = words(fuse_rename2_in, IN_BODY);

export function lookup(session: Session, request: Request): void {
  const dir = session.node(request.nodeid);
  if (!(dir instanceof Dir)) throw new Errno('ENOTDIR');
  const name = session.message.name();
  if (dir.removed) throw session.goneByPath('ENOENT');
  const node = name === '..' ? dir.parent : name === '.' ? dir : dir.lookup(name);
  if (node === undefined) throw new Errno('ENOENT');
  session.inodes.remember(node);
  putEntry(session.replies.words, BODY, node, session.view, session.entrySeconds(node));
  session.replies.send(request, fuse_entry_out.size);
}

export function forget(session: Session, request: Request): void {
  session.inodes.forget(request.nodeid, session.message.u64(FORGET.nlookup));
}

export function batchForget(session: Session): void {
  const { message, inodes } = session;
  const step = fuse_forget_one.size / WORD;
  let at = (IN_BODY + fuse_batch_forget_in.size) / WORD;
  for (let left = message.u32(BATCH.count); left > 0 && at + step <= message.wordCount; left--, at += step) {
    inodes.forget(message.u64(at + FORGET_ONE.nodeid), message.u64(at + FORGET_ONE.nlookup));
  }
}

export function readlink(session: Session, request: Request): void {
  const node = session.node(request.nodeid);
  if (!(node instanceof Symlink)) throw new Errno('EINVAL');
  if (node.removed && session.notices.pending) throw session.goneByPath('ENOENT');
  session.replies.bytes(request, Buffer.from(node.target));
}

/** mkdir, symlink, link, unlink, rmdir, rename: kernfs knows none of them for sysfs. */
export function refuse(code: ErrnoName): (session: Session, request: Request) => void {
  return (session) => {
    throw new Errno(code, session.message.name());
  };
}

/** Only a plain file gets as far as the missing create operation (fs/namei.c: vfs_create()). */
export function mknod(session: Session): void {
  const regular = (session.message.u32(MKNOD.mode) & S_IFMT) === S_IFREG;
  throw new Errno(regular ? 'EACCES' : 'EPERM');
}

export function rename2(session: Session): void {
  throw new Errno(session.message.u32(RENAME2.flags) === 0 ? 'EPERM' : 'EINVAL');
}

