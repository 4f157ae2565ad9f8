/**
 * Descriptors that this process was started with. Node marks them all close-on-exec at its start, those of its caller too;
 * the command that `run` becomes gets them back.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { openFlags, setOpenFlags } from '../../sys/become.js';
import { setCloseOnExec } from '../../sys/io.js';

const STDIO = [0, 1, 2];

/**
 * Descriptors above 2 that are the caller's. Node's own are anonymous inodes, pipes of which it has both ends, and
 * /dev/null; called before anything else was opened.
 */
export function inheritedFds(): number[] {
  const links = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try { links.set(Number(name), readlinkSync(`/proc/self/fd/${name}`)); } catch { /* The directory's own, closed again. */ }
  }
  const ends = new Map<string, number>();
  for (const link of links.values()) ends.set(link, (ends.get(link) ?? 0) + 1);
  return [...links].filter(([fd, link]) => fd > 2 && !isNodes(link, ends.get(link) ?? 0)).map(([fd]) => fd);
}

function isNodes(link: string, ends: number): boolean {
  return link.startsWith('anon_inode:') || link === '/dev/null' || (link.startsWith('pipe:') && ends > 1);
}

export type StdioFlags = ReadonlyMap<number, number>;

export function stdioFlags(): StdioFlags {
  return new Map(STDIO.flatMap((fd) => {
    const flags = openFlags(fd);
    return flags === undefined ? [] : [[fd, flags] as const];
  }));
}

/** Makes `fds` and stdio survive execve(), with stdio's flags (O_NONBLOCK) as they were at the start. */
export function passOn(fds: readonly number[], stdio: StdioFlags): void {
  // What is not open any more was not the caller's: a module loader's socket, for one.
  for (const fd of [...stdio.keys(), ...fds]) if (openFlags(fd) !== undefined) setCloseOnExec(fd, false);
  for (const [fd, flags] of stdio) if (openFlags(fd) !== flags) setOpenFlags(fd, flags);
}
