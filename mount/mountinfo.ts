/** Labs among the mounts of this process's namespace, and whether their server lives. */
import { readFileSync, realpathSync } from 'node:fs';
import { realpath, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/** File system type of a lab, as in /proc/self/mountinfo. */
export const LAB_TYPE = 'fuse.mdevsim';

export interface LabMount {
  readonly dir: string;
  /** What of the lab is mounted there: `/` is all of it, `mdevsim run` binds parts. */
  readonly root: string;
}

/** Mount points have space, tab, newline and backslash as \ooo. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Labs in the text of a mountinfo file, in the order of mounting. Source: Documentation/filesystems/proc.rst. */
export function parseMountInfo(text: string): LabMount[] {
  return text.split('\n').flatMap((line) => {
    const [left, right] = line.split(' - ');
    const fields = left?.split(' ') ?? [];
    const [, , , root, dir] = fields;
    if (right?.split(' ')[0] !== LAB_TYPE || root === undefined || dir === undefined) return [];
    return [{ dir: unescape(dir), root: unescape(root) }];
  });
}

export function listLabMounts(): LabMount[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** The lab in which that path lies, as far as its text tells. */
export function labAround(dir: string): LabMount | undefined {
  const path = resolve(dir);
  return listLabMounts().find((mount) => path.startsWith(`${mount.dir}/`));
}

/** The absolute path without links, found without touching what is mounted there. */
export function mountPath(dir: string): string {
  const path = resolve(dir);
  return path === '/' ? path : join(realpathSync(dirname(path)), basename(path));
}

/** The same where a link on the way may lead into a lab that this thread serves. */
export async function plainPath(dir: string): Promise<string> {
  const path = resolve(dir);
  return path === '/' ? path : join(await realpath(dirname(path)), basename(path));
}

/** The lab that is mounted at exactly that directory. */
export function labMountAt(dir: string): LabMount | undefined {
  const path = mountPath(dir);
  return listLabMounts().filter((mount) => mount.dir === path).at(-1);
}

/**
 * Whether a lab's server is gone: the kernel then answers ENOTCONN at once. Asked from a worker thread, 2 s at most, and with
 * statfs(2): the attributes of the root may still be in the kernel's cache, so that stat(2) would succeed.
 */
export async function isStale(dir: string): Promise<boolean> {
  const answer = statfs(dir).then(() => false, (error: NodeJS.ErrnoException) => error.code === 'ENOTCONN');
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((settle) => {
    timer = setTimeout(() => settle(false), 2000);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
