/**
 * mountTree(): a tree of nodes becomes a mounted file system. As root (or root of a user namespace) by mount(2), otherwise
 * through fusermount3.
 */
import { lstatSync, readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { cpus } from 'node:os';
import { Errno, isErrno } from '../src/abi/errno.js';
import { S_IFDIR } from '../src/kernfs/node.js';
import type { Tree } from '../src/kernfs/tree.js';
import { removeEmptyDirectory } from '../src/sys/directory.js';
import { Fd } from '../src/sys/fd.js';
import { openFd } from '../src/sys/io.js';
import { MS_NODEV, MS_NOSUID, mount, umount, umountAsync } from '../src/sys/mount.js';
import { warn } from '../src/trace/trace.js';
import { AdaptivePoll } from './adaptive-poll.js';
import { FuseChannel } from './channel.js';
import { FusermountError, fusermount, fuserumount } from './fusermount.js';
import { LAB_TYPE, isStale, labAround, labMountAt, mountPath, plainPath } from './mountinfo.js';
import { serve } from './serve.js';
import { Session } from './session.js';

export interface MountOptions {
  /** Let other users in. Default: when we are root. */
  readonly allowOther?: boolean;
  /** Longest time to keep asking for the next request, microseconds; 0 switches it off. Default 100 (adaptive-poll.ts). */
  readonly pollWindow?: number;
  /** Whether files can have extended attributes. Default false: they cost time (session.ts). */
  readonly xattrs?: boolean;
  /** Make the directory when it is missing. Default false. */
  readonly create?: boolean;
  /** Remove the directory when the mount is over. Default false. */
  readonly removeDirectory?: boolean;
}

/** What the operator reads: what was wanted, what is, what to do. */
export class MountError extends Error {
  override readonly name = 'MountError';
}

export interface Mount {
  /** Absolute, without links. */
  readonly dir: string;
  /** Resolves with the reason when the mount is over, however it came, and the directory is gone where it shall. */
  readonly ended: Promise<string>;
  /** Resolves when the kernel knows of every change of the tree so far. */
  readonly settled: () => Promise<void>;
  /** Idempotent. Resolves when every file is released. */
  readonly unmount: () => Promise<void>;
  /** Numbers for tests and diagnosis. */
  readonly stats: () => MountStats;
}

export interface MountStats {
  readonly inodes: number;
  readonly handles: number;
  readonly pending: number;
  readonly slots: number;
  readonly boundSlots: number;
  /** Clients that let this server open descriptors in them. */
  readonly listeners: number;
}

/** Mounts `tree` at `dir` and serves it from this process's event loop. Throws MountError. */
export async function mountTree(tree: Tree, dir: string, options: MountOptions = {}): Promise<Mount> {
  const path = await freeDirectory(dir, options.create === true);
  const uid = process.getuid?.() ?? 0;
  const fd = attach(path, options.allowOther ?? uid === 0);
  const channel = new FuseChannel(fd);
  const session = new Session(tree, channel, { dir: path, owner: { uid, gid: uid === 0 ? 0 : process.getgid?.() ?? 0 }, ...options });
  const window = options.pollWindow;
  const poll = new AdaptivePoll({ cpus: cpus().length, ...(window === undefined ? {} : { window }) });
  serve(session, channel, poll);
  await Promise.race([session.whenReady, session.whenEnded]);
  if (session.ended) {
    await detachPath(path).catch(cannotDetach);
    throw new MountError(`mounting ${path} failed: ${await session.whenEnded}`);
  }
  const left = (): void => {
    if (options.removeDirectory === true) removeEmptyDirectory(path);
  };
  const ended = endAtExit(session, path, left);
  let unmounting: Promise<void> | undefined;
  return {
    dir: path,
    ended,
    settled: async () => session.notices.settled(),
    unmount: () => (unmounting ??= detach(path, session).then(async () => void await ended)),
    stats: () => ({
      inodes: session.inodes.size, handles: session.handles.count, pending: session.pendingCount,
      slots: session.slots.openCount, boundSlots: session.slots.boundCount, listeners: session.supervisor?.count ?? 0,
    }),
  };
}

/** Unmounts the lab at `dir`, also one whose server is gone. Throws MountError when there is none. */
export async function umountLab(dir: string): Promise<void> {
  const found = labMountAt(dir);
  if (found === undefined) throw new MountError(`no lab is mounted at ${mountPath(dir)}`);
  await detachPath(found.dir);
}

/** Checks the directory, makes it when it shall, and clears away a lab whose server died. */
async function freeDirectory(dir: string, create: boolean): Promise<string> {
  // Not the current directory, which resolve() would make of it: a shell's unset variable looks like this.
  if (dir === '') throw new MountError('cannot mount: the name of the directory is empty');
  needOutside(dir);
  let path: string;
  try {
    if (create) await mkdir(dir, { recursive: true });
    path = await plainPath(dir);
  } catch (error) {
    throw new MountError(`cannot mount at ${dir}: ${(error as Error).message}`);
  }
  needOutside(path);
  if (labMountAt(path) !== undefined) {
    if (!(await isStale(path))) throw new MountError(`a lab is already mounted at ${path}; end it with: mdevsim umount ${path}`);
    await detachPath(path);
  }
  try {
    if (!lstatSync(path).isDirectory()) throw new Error('it is no directory');
    if (readdirSync(path).length > 0) throw new Error('it is not empty');
  } catch (error) {
    throw new MountError(`cannot mount at ${path}: ${(error as Error).message}`);
  }
  return path;
}

/** Looking into a lab that this very thread serves would be to wait for ourselves. */
function needOutside(dir: string): void {
  const outer = labAround(dir);
  if (outer !== undefined) throw new MountError(`cannot mount at ${dir}: it is inside the lab at ${outer.dir}`);
}

const FUSE_HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'load the kernel module (modprobe fuse), or pass --device /dev/fuse to the container',
  EPERM: 'pass --device /dev/fuse to the container; that it sees the node is not enough',
};

function attach(dir: string, allowOther: boolean): Fd {
  const common = ['default_permissions', ...(allowOther ? ['allow_other'] : [])];
  let fd: Fd;
  try {
    fd = new Fd(openFd('/dev/fuse', O_RDWR));
  } catch (error) {
    const hint = (isErrno(error) ? FUSE_HINTS[error.code] : undefined) ?? 'make it accessible (chmod 666 /dev/fuse)';
    throw new MountError(`cannot open /dev/fuse (${describe(error)}): ${hint}`);
  }
  const options = [`fd=${fd.fd}`, `rootmode=${(S_IFDIR | ROOT_MODE).toString(8)}`, `user_id=${process.getuid?.() ?? 0}`,
    `group_id=${process.getgid?.() ?? 0}`, ...common];
  try {
    mount('mdevsim', dir, LAB_TYPE, MS_NOSUID | MS_NODEV, options.join(','));
    return fd;
  } catch (error) {
    fd.close();
    if (!isErrno(error, 'EPERM')) throw new MountError(`cannot mount at ${dir}: ${describe(error)}`);
  }
  if (process.getuid?.() === 0) {
    throw new MountError(`cannot mount at ${dir} (EPERM): CAP_SYS_ADMIN is missing; in a container add --cap-add SYS_ADMIN`);
  }
  try {
    return fusermount(dir, [...common, 'fsname=mdevsim', 'subtype=mdevsim', 'nosuid', 'nodev'].join(','));
  } catch (error) {
    if (error instanceof FusermountError) throw new MountError(`cannot mount at ${dir}: ${error.message}`);
    throw error;
  }
}

/**
 * Takes the mount out of the name space first, so that nobody comes in any more. Serves on until all notices are written: one
 * that waits for a lock of the kernel would keep the connection open, and with it everybody who waits for an answer.
 *
 * Both need worker threads. Clients in our own process may hold them all; those are interrupted until there is a free one.
 */
async function detach(dir: string, session: Session): Promise<void> {
  const interrupting = setInterval(() => session.interruptAll(), INTERRUPT_INTERVAL);
  try {
    if (!session.ended) await detachPath(dir).catch(cannotDetach);
    await session.notices.settled();
  } finally {
    clearInterval(interrupting);
  }
  session.end('unmounted');
}

async function detachPath(dir: string): Promise<void> {
  try {
    await umountAsync(dir);
  } catch (error) {
    if (isErrno(error, 'EINVAL')) return;
    if (!isErrno(error, 'EPERM')) throw new MountError(`cannot unmount ${dir}: ${describe(error)}`);
    try {
      fuserumount(dir);
    } catch (failed) {
      throw new MountError(`cannot unmount ${dir}: only root and who mounted it may (${(failed as Error).message})`);
    }
  }
}

interface Served {
  readonly dir: string;
  /** Nothing is mounted there any more. */
  readonly left: () => void;
}

/** What this thread serves. */
const served = new Map<Session, Served>();

/** The process, or the worker thread that serves, ends without an unmount: nobody waits for it in vain, and nothing stays mounted. */
function abandonAll(): void {
  for (const [session, { dir, left }] of served) {
    session.end('its process has ended');
    try {
      umount(dir);
    } catch {
      try { fuserumount(dir); } catch { /* What is left answers ENOTCONN. */ }
    }
    left();
  }
}

/** Resolves with the reason when the session is over, and its directory has been left. */
function endAtExit(session: Session, dir: string, left: () => void): Promise<string> {
  if (served.size === 0) process.on('exit', abandonAll);
  served.set(session, { dir, left });
  return session.whenEnded.then((reason) => {
    served.delete(session);
    if (served.size === 0) process.off('exit', abandonAll);
    left();
    return reason;
  });
}

/** The server goes all the same: clients get ENOTCONN there. */
const cannotDetach = (error: Error): void => warn(error.message);

const describe = (error: unknown): string => (error instanceof Errno ? error.code : String(error));

const O_RDWR = 2;
/** ms */
const INTERRUPT_INTERVAL = 100;
const ROOT_MODE = 0o755;

