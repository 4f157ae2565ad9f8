/** Directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR. */
import { Errno } from '../src/abi/errno.js';
import { Dir } from '../src/kernfs/dir.js';
import type { Node } from '../src/kernfs/node.js';
import type { ReaddirEntry } from '../src/kernfs/readdir.js';
import { DirReader } from '../src/kernfs/readdir.js';
import {
  FUSE_DIRENT_ALIGN, IN_BODY, OUT_BODY, WORD, fuse_dirent, fuse_entry_out, fuse_read_in, fuse_release_in, words,
} from './fuse-abi.js';
import { direntType, put64, putEntry } from './encode.js';
import { BODY, Replies } from './reply.js';
import type { Request } from './request.js';
import type { Session } from './session.js';

const READ = words(fuse_read_in, IN_BODY);
const RELEASE = words(fuse_release_in, IN_BODY);
const DIRENT = words(fuse_dirent);
const ENTRY_WORDS = fuse_entry_out.size / WORD;
const encoder = new TextEncoder();

export function opendir(session: Session, request: Request): void {
  const node = session.node(request.nodeid);
  if (!(node instanceof Dir)) throw new Errno('ENOTDIR');
  if (node.removed && session.notices.pending) throw session.goneByPath('ENOENT');
  session.replies.opened(request, session.handles.openDir(new DirReader(node)), 0);
}

/** Appends one entry whose dirent starts at word `at`; returns the word behind it, or undefined when it does not fit. */
function putDirent(session: Session, entry: ReaddirEntry, at: number, limit: number): number | undefined {
  const { words: out, data } = session.replies;
  const name = encoder.encode(entry.name);
  const end = Math.ceil((at * WORD + fuse_dirent.size + name.length) / FUSE_DIRENT_ALIGN) * FUSE_DIRENT_ALIGN;
  if (end > limit) return undefined;
  out[at + DIRENT.ino] = entry.ino;
  out[at + DIRENT.ino + 1] = session.view.high;
  put64(out, at + DIRENT.off, entry.next);
  out[at + DIRENT.namelen] = name.length;
  out[at + DIRENT.type] = direntType(entry.kind);
  const start = at * WORD + fuse_dirent.size;
  data.set(name, start);
  data.fill(0, start + name.length, end);
  return end / WORD;
}

function list(session: Session, request: Request, plus: boolean): void {
  const { message, replies } = session;
  const reader = session.handles.dir(message.u64(READ.fh));
  if (reader === undefined) throw new Errno('EBADF');
  const limit = OUT_BODY + Math.min(message.u32(READ.size), Replies.CAPACITY);
  const found: Node[] = [];
  let at = BODY;
  for (const entry of reader.from(message.u64(READ.offset))) {
    const end = putDirent(session, entry, plus ? at + ENTRY_WORDS : at, limit);
    if (end === undefined) break;
    if (plus) {
      const node = entry.name === '.' || entry.name === '..' ? undefined : reader.dir.lookup(entry.name);
      // A nodeid of 0 means: no lookup was done. The kernel takes no count on "." and ".." either.
      if (node === undefined) replies.words.fill(0, at, at + ENTRY_WORDS);
      else {
        putEntry(replies.words, at, node, session.view, session.entrySeconds(node));
        found.push(node);
      }
    }
    at = end;
  }
  for (const node of found) session.inodes.remember(node);
  replies.send(request, at * WORD - OUT_BODY);
}

export const readdir = (session: Session, request: Request): void => list(session, request, false);
export const readdirplus = (session: Session, request: Request): void => list(session, request, true);

export function releasedir(session: Session, request: Request): void {
  session.handles.closeDir(session.message.u64(RELEASE.fh));
  session.replies.done(request);
}
