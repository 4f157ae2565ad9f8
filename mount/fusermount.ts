/**
 * Mounting without privileges: the set-user-id program fusermount3 mounts for us and passes the open /dev/fuse over a socket.
 * The protocol is libfuse's: the socket's number in _FUSE_COMMFD, one byte with the descriptor as SCM_RIGHTS.
 */
import { spawnSync } from 'node:child_process';
import { Errno } from '../src/abi/errno.js';
import type { Fd } from '../src/sys/fd.js';
import { receiveFd, socketPair } from '../src/sys/socket.js';

const PROGRAMS = ['fusermount3', 'fusermount'];
/** The child's end of the socket, by number. */
const CHILD_FD = 3;

export class FusermountError extends Error {
  override readonly name = 'FusermountError';
}

function run(args: readonly string[], socket: Fd | undefined): void {
  for (const program of PROGRAMS) {
    const stdio: ('ignore' | 'pipe' | number)[] = ['ignore', 'pipe', 'pipe'];
    if (socket !== undefined) stdio[CHILD_FD] = socket.fd;
    const result = spawnSync(program, args, {
      stdio, encoding: 'utf8', timeout: 10_000, env: { ...process.env, _FUSE_COMMFD: String(CHILD_FD) },
    });
    if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') continue;
    if (result.error !== undefined) throw result.error;
    if (result.status === 0) return;
    throw new FusermountError(`${program} failed: ${result.stderr.trim() || `exit ${String(result.status)}`}`);
  }
  throw new FusermountError('mounting needs root, or the program fusermount3 (Debian: apt install fuse3)');
}

/** Mounts at `dir` and returns the open /dev/fuse. `options` as in mount -o. */
export function fusermount(dir: string, options: string): Fd {
  const [ours, theirs] = socketPair();
  try {
    run(['-o', options, '--', dir], theirs);
    theirs.close();
    const fd = receiveFd(ours.fd);
    if (fd === undefined) throw new Errno('EIO', 'fusermount3 passed no descriptor');
    return fd;
  } finally {
    ours.close();
    theirs.close();
  }
}

/** Lazily unmounts what fusermount() mounted. */
export function fuserumount(dir: string): void {
  run(['-u', '-z', '--', dir], undefined);
}
