/**
 * Extended attributes, as fs/kernfs/inode.c has them for sysfs: security.* and trusted.* are kept, user.* is not supported.
 * They live as long as the node; most nodes never have any.
 */
import { Errno } from '../src/abi/errno.js';
import type { Node } from '../src/kernfs/node.js';
import {
  FUSE_COMPAT_SETXATTR_IN_SIZE, IN_BODY, OUT_BODY, fuse_getxattr_in, fuse_getxattr_out, fuse_setxattr_in, words,
} from './fuse-abi.js';
import type { Request } from './request.js';
import type { Session } from './session.js';

const SETXATTR = words(fuse_setxattr_in, IN_BODY);
const GETXATTR = words(fuse_getxattr_in, IN_BODY);
const GETXATTR_OUT = words(fuse_getxattr_out, OUT_BODY);
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const PREFIX = /^(security|trusted|user)\./;
const KEPT = /^(security|trusted)\../;
/** By node. */
export class Xattrs {
  readonly #values = new Map<Node, Map<string, Uint8Array>>();

  of(node: Node): Map<string, Uint8Array> | undefined {
    return this.#values.get(node);
  }

  /** Makes the node one that is not let go and made again. */
  make(node: Node): Map<string, Uint8Array> {
    let values = this.#values.get(node);
    if (values === undefined) {
      values = new Map();
      this.#values.set(node, values);
      if (!node.changed) node.setAttributes({});
    }
    return values;
  }

  /** Drops what belongs to removed nodes. */
  prune(): void {
    for (const node of this.#values.keys()) if (node.removed) this.#values.delete(node);
  }
}

/** The attribute of the request's node. Throws ENOSYS, after which the kernel asks no more, where the mount has none. */
function values(session: Session, request: Request): Map<string, Uint8Array> | undefined {
  if (!session.options.xattrs) throw new Errno('ENOSYS');
  return session.xattrs.of(session.node(request.nodeid));
}

/** xattr_resolve_name(): who is responsible for a name of that prefix. Throws EOPNOTSUPP (nobody), EINVAL (nothing behind it). */
function checkName(name: string): void {
  const prefix = PREFIX.exec(name)?.[0];
  if (prefix === undefined) throw new Errno('EOPNOTSUPP');
  if (prefix === name) throw new Errno('EINVAL');
}

export function setxattr(session: Session, request: Request): void {
  const known = values(session, request);
  const { message } = session;
  const nameStart = IN_BODY + FUSE_COMPAT_SETXATTR_IN_SIZE;
  const name = message.name(nameStart);
  const flags = message.u32(SETXATTR.flags);
  checkName(name);
  if (!KEPT.test(name)) throw new Errno('EOPNOTSUPP');
  const exists = known?.has(name) === true;
  if (exists && (flags & XATTR_CREATE) !== 0) throw new Errno('EEXIST');
  if (!exists && (flags & XATTR_REPLACE) !== 0) throw new Errno('ENODATA');
  const value = message.bytes(nameStart + Buffer.byteLength(name) + 1, message.u32(SETXATTR.size));
  session.xattrs.make(session.node(request.nodeid)).set(name, value.slice());
  session.replies.done(request);
}

/** A size of 0 asks how much there is; a smaller buffer than that is ERANGE. */
function answer(session: Session, request: Request, value: Uint8Array): void {
  const size = session.message.u32(GETXATTR.size);
  if (size === 0) {
    session.replies.words[GETXATTR_OUT.size] = value.length;
    session.replies.words[GETXATTR_OUT.padding] = 0;
    session.replies.send(request, fuse_getxattr_out.size);
    return;
  }
  if (size < value.length) throw new Errno('ERANGE');
  session.replies.bytes(request, value);
}

export function getxattr(session: Session, request: Request): void {
  const known = values(session, request);
  const name = session.message.name(IN_BODY + fuse_getxattr_in.size);
  checkName(name);
  const value = known?.get(name);
  if (value === undefined) throw new Errno('ENODATA');
  answer(session, request, value);
}

/** simple_xattr_list() */
export function listxattr(session: Session, request: Request): void {
  const names = [...(values(session, request)?.keys() ?? [])];
  if (session.node(request.nodeid).tree.profile.xattrOrder === 'by-name') names.sort((a, b) => (a < b ? 1 : -1));
  answer(session, request, Buffer.from(names.map((name) => `${name}\0`).join('')));
}

export function removexattr(session: Session, request: Request): void {
  const known = values(session, request);
  const name = session.message.name();
  checkName(name);
  if (!KEPT.test(name)) throw new Errno('EOPNOTSUPP');
  if (known?.delete(name) !== true) throw new Errno('ENODATA');
  session.replies.done(request);
}
