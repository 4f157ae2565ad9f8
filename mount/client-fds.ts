/** Descriptors of client processes, told apart by their inode numbers in /proc/<pid>/fdinfo (sys/process.ts has the rules for that). */
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { io } from '../src/abi/ioctl.js';
import { ioctlFdAsync } from '../src/sys/io.js';
import { readFdInfo, readFdInfoAsync, takeProcessFdAsync } from '../src/sys/process.js';
import type { FdInfo } from '../src/sys/process.js';
import type { ClientView } from './encode.js';
import type { Handle } from './handles.js';

/** open(2) flag: such a descriptor is a path, not an open file. */
const O_PATH = 0o10000000;
/** Descriptors that are looked at together. */
const AT_A_TIME = 32;
/** Number of the private ioctl by which a copy of a descriptor tells which open file it is. No driver sees it. */
const PROBE = io(0xfd, 0xfd);

export class ClientFds {
  readonly #view: ClientView;
  /** Running probes by their random argument. */
  readonly #probes = new Map<bigint, (handle: Handle) => void>();

  constructor(view: ClientView) {
    this.#view = view;
  }

  /** The lab's inode behind a descriptor; undefined when it is not open, or not ours, or may not be looked at. Not for FLUSH. */
  inodeAt(pid: number, fd: number): number | undefined {
    try {
      const info = readFdInfo(pid, fd);
      return info === undefined ? undefined : this.inodeOf(info);
    } catch {
      return undefined;
    }
  }

  inodeOf(info: FdInfo): number | undefined {
    return (info.flags & O_PATH) === 0 ? this.#view.inside(info.ino) : undefined;
  }

  /** Whether the process has that inode at any descriptor that `among` names. For every request. */
  async hasInode(pid: number, ino: number, among: (fd: number) => boolean): Promise<boolean> {
    let names: string[];
    try {
      names = readdirSync(`/proc/${pid}/fdinfo`);
    } catch {
      return false;
    }
    const fds = names.map(Number).filter(among);
    const isIt = async (fd: number): Promise<boolean> => {
      const info = await readFdInfoAsync(pid, fd);
      return info !== undefined && this.inodeOf(info) === ino;
    };
    for (let at = 0; at < fds.length; at += AT_A_TIME) {
      if ((await Promise.all(fds.slice(at, at + AT_A_TIME).map(isIt))).includes(true)) return true;
    }
    return false;
  }

  /**
   * Which of several open files of one inode a client's descriptor is: takes a copy, asks it from a worker thread with an
   * ioctl that comes back to answerProbe(), and closes the copy there too.
   */
  async identify(pid: number, fd: number): Promise<Handle | undefined> {
    const copy = await takeProcessFdAsync(pid, fd);
    const nonce = randomBytes(8).readBigUInt64LE();
    let found: Handle | undefined;
    this.#probes.set(nonce, (handle) => { found = handle; });
    try {
      await ioctlFdAsync(copy.fd, PROBE, nonce).catch(() => undefined);
    } finally {
      this.#probes.delete(nonce);
      await copy.closeAsync();
    }
    return found;
  }

  /** An ioctl came in: true when it was one of our probes. */
  answerProbe(handle: Handle, command: number, argument: bigint): boolean {
    if (command !== PROBE) return false;
    const found = this.#probes.get(argument);
    found?.(handle);
    return found !== undefined;
  }
}
