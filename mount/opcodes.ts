/**
 * The table of requests: number, name, handler, and whether the kernel expects no reply. What is not in it gets ENOSYS, which
 * makes the kernel answer by itself from then on.
 */
import type { ErrnoName } from '../src/abi/errno.js';
import { Errno } from '../src/abi/errno.js';
import { access, getattr, setattr, statfs, statx } from './ops-attr.js';
import { opendir, readdir, readdirplus, releasedir } from './ops-dir.js';
import { flush, fsync, ioctl, open, poll, read, release, write } from './ops-file.js';
import { batchForget, forget, lookup, mknod, readlink, refuse, rename2 } from './ops-name.js';
import { destroy, init, interrupt } from './ops-session.js';
import { getxattr, listxattr, removexattr, setxattr } from './ops-xattr.js';
import type { Request } from './request.js';
import type { Session } from './session.js';

export type Handler = (session: Session, request: Request) => void | Promise<void>;

export interface Operation {
  readonly opcode: number;
  readonly name: string;
  readonly handler: Handler;
  /** The kernel waits for no answer. */
  readonly noReply?: true;
}

/** An answer that does not depend on the request. */
const answer = (code: ErrnoName): Handler => () => {
  throw new Errno(code);
};

export const OPERATIONS: readonly Operation[] = [
  { opcode: 1, name: 'LOOKUP', handler: lookup },
  { opcode: 2, name: 'FORGET', handler: forget, noReply: true },
  { opcode: 3, name: 'GETATTR', handler: getattr },
  { opcode: 4, name: 'SETATTR', handler: setattr },
  { opcode: 5, name: 'READLINK', handler: readlink },
  { opcode: 6, name: 'SYMLINK', handler: refuse('EPERM') },
  { opcode: 8, name: 'MKNOD', handler: mknod },
  { opcode: 9, name: 'MKDIR', handler: answer('EPERM') },
  { opcode: 10, name: 'UNLINK', handler: refuse('EPERM') },
  { opcode: 11, name: 'RMDIR', handler: refuse('EPERM') },
  { opcode: 12, name: 'RENAME', handler: answer('EPERM') },
  { opcode: 13, name: 'LINK', handler: answer('EPERM') },
  { opcode: 14, name: 'OPEN', handler: open },
  { opcode: 15, name: 'READ', handler: read },
  { opcode: 16, name: 'WRITE', handler: write },
  { opcode: 17, name: 'STATFS', handler: statfs },
  { opcode: 18, name: 'RELEASE', handler: release },
  { opcode: 20, name: 'FSYNC', handler: fsync },
  { opcode: 21, name: 'SETXATTR', handler: setxattr },
  { opcode: 22, name: 'GETXATTR', handler: getxattr },
  { opcode: 23, name: 'LISTXATTR', handler: listxattr },
  { opcode: 24, name: 'REMOVEXATTR', handler: removexattr },
  { opcode: 25, name: 'FLUSH', handler: flush },
  { opcode: 26, name: 'INIT', handler: init },
  { opcode: 27, name: 'OPENDIR', handler: opendir },
  { opcode: 28, name: 'READDIR', handler: readdir },
  { opcode: 29, name: 'RELEASEDIR', handler: releasedir },
  { opcode: 30, name: 'FSYNCDIR', handler: answer('EINVAL') },
  { opcode: 34, name: 'ACCESS', handler: access },
  { opcode: 35, name: 'CREATE', handler: answer('EACCES') },
  { opcode: 36, name: 'INTERRUPT', handler: interrupt, noReply: true },
  { opcode: 38, name: 'DESTROY', handler: destroy },
  { opcode: 39, name: 'IOCTL', handler: ioctl },
  { opcode: 40, name: 'POLL', handler: poll },
  { opcode: 42, name: 'BATCH_FORGET', handler: batchForget, noReply: true },
  { opcode: 43, name: 'FALLOCATE', handler: answer('EOPNOTSUPP') },
  { opcode: 44, name: 'READDIRPLUS', handler: readdirplus },
  { opcode: 45, name: 'RENAME2', handler: rename2 },
  { opcode: 47, name: 'COPY_FILE_RANGE', handler: answer('EXDEV') },
  { opcode: 51, name: 'TMPFILE', handler: answer('EOPNOTSUPP') },
  { opcode: 52, name: 'STATX', handler: statx },
];

/** By opcode. */
export const OPERATION_BY_OPCODE: readonly (Operation | undefined)[] = (() => {
  const size = Math.max(...OPERATIONS.map((row) => row.opcode)) + 1;
  const table = new Array<Operation | undefined>(size).fill(undefined);
  for (const operation of OPERATIONS) table[operation.opcode] = operation;
  return table;
})();
