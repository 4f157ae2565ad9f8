/**
 * Extended attributes, as fs/kernfs/inode.c has them for sysfs: security.* and trusted.* are kept, user.* is not supported.
 * They live as long as the node; most nodes never have any.
 */
import { Errno } from '../src/abi/errno.js';
import type { Node } from '../src/kernfs/node.js';
import { FUSE_COMPAT_SETXATTR_IN_SIZE, IN_BODY, OUT_BODY, fuse_getxattr_in, fuse_getxattr_out, fuse_setxattr_in, words } from './fuse-abi.js';
import type { Request } from './request.js';
import type { Session } from './session.js';

const SETXATTR = words(fuse_setxattr_in, IN_BODY);
const GETXATTR = words(fuse_getxattr_in, IN_BODY);
const GETXATTR_OUT = words(fuse_getxattr_out, OUT_BODY);
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const KEPT = /^(security|trusted)\../;
/** A namespace without a name in it: fs/xattr.c: xattr_resolve_name(). */
const NAMELESS = /^(security|trusted|user)\.$/;
/** No handler at all in sysfs: neither ACLs nor anything unheard of. */
const UNKNOWN = /^(?!security\.|trusted\.|user\.)/;

function checkName(name: string): void {
  if (NAMELESS.test(name)) throw new Errno('EINVAL');
  if (UNKNOWN.test(name)) throw new Errno('EOPNOTSUPP');
}

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

export function setxattr(session: Session, request: Request): void {
  const { message } = session;
  const node = session.node(request.nodeid);
  const nameStart = IN_BODY + FUSE_COMPAT_SETXATTR_IN_SIZE;
  const name = message.name(nameStart);
  const flags = message.u32(SETXATTR.flags);
  checkName(name);
  if (!KEPT.test(name)) throw new Errno('EOPNOTSUPP');
  const known = session.xattrs.of(node)?.has(name) === true;
  if (known && (flags & XATTR_CREATE) !== 0) throw new Errno('EEXIST');
  if (!known && (flags & XATTR_REPLACE) !== 0) throw new Errno('ENODATA');
  const value = message.bytes(nameStart + Buffer.byteLength(name) + 1, message.u32(SETXATTR.size));
  session.xattrs.make(node).set(name, value.slice());
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
  const name = session.message.name(IN_BODY + fuse_getxattr_in.size);
  checkName(name);
  const value = session.xattrs.of(session.node(request.nodeid))?.get(name);
  if (value === undefined) throw new Errno('ENODATA');
  answer(session, request, value);
}

/** Names in descending order, as 6.12 keeps them (fs/xattr.c: rbtree_simple_xattr_cmp()). */
export function listxattr(session: Session, request: Request): void {
  const names = [...(session.xattrs.of(session.node(request.nodeid))?.keys() ?? [])].sort((a, b) => (a < b ? 1 : -1));
  answer(session, request, Buffer.from(names.map((name) => `${name}\0`).join('')));
}

export function removexattr(session: Session, request: Request): void {
  const name = session.message.name();
  if (!KEPT.test(name)) throw new Errno('EOPNOTSUPP');
  if (session.xattrs.of(session.node(request.nodeid))?.delete(name) !== true) throw new Errno('ENODATA');
  session.replies.done(request);
}
