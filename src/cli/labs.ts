/** Labs that are mounted here, as /proc/self/mountinfo shows them: nothing here touches a mount, whose server may hang. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { mountPath, parseMountInfo } from '../../mount/mountinfo.js';
import { CliError } from './errors.js';

/** Tells programs below `mdevsim run` where their lab is. */
export const LAB_VARIABLE = 'MDEVSIM_LAB';

/** Mount points of whole labs (not of parts that `run` has bound elsewhere) in the text of a mountinfo file. */
export function labsIn(mountinfo: string): string[] {
  return [...new Set(parseMountInfo(mountinfo).filter(({ root }) => root === '/').map(({ dir }) => dir))];
}

export const mountedLabs = (): string[] => labsIn(readFileSync('/proc/self/mountinfo', 'utf8'));

/** A lab that is mounted where another process sees it: in another container, say. */
export interface LabElsewhere { readonly pid: string; readonly dir: string }

/** Whose lab a path names that leads through the root directory of another process: `/proc/7/root/lab`. */
export function labElsewhere(path: string): LabElsewhere | undefined {
  const [, pid, dir] = /^\/proc\/(\d+)\/root(\/.+)$/.exec(path) ?? [];
  return pid === undefined || dir === undefined ? undefined : { pid, dir };
}

/** Absolute path of a lab that the operator named, here or where another process sees it. Throws CliError when it is none. */
export function needLab(dir: string): string {
  const path = resolve(dir);
  const elsewhere = labElsewhere(path);
  if (elsewhere === undefined) {
    const found = labHere(path);
    if (found === undefined) throw new CliError(`${dir} is not a mounted lab`);
    return found;
  }
  if (labsSeenBy(elsewhere.pid).includes(elsewhere.dir)) return path;
  throw new CliError(`${dir} is not a mounted lab: process ${elsewhere.pid} here sees none at ${elsewhere.dir}; `
    + 'containers must share their pid namespace (--pid container:NAME)');
}

/** As the kernel names it: without the links that lead to its directory. */
function labHere(path: string): string | undefined {
  const labs = mountedLabs();
  if (labs.includes(path)) return path;
  try {
    const plain = mountPath(path);
    return labs.includes(plain) ? plain : undefined;
  } catch {
    return undefined;
  }
}

function labsSeenBy(pid: string): string[] {
  try {
    return labsIn(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
  } catch {
    return [];
  }
}

/** The lab named by --lab or MDEVSIM_LAB, else all labs there are. */
export function chooseLabs(dir: string | undefined): string[] {
  const named = dir ?? process.env[LAB_VARIABLE];
  return named === undefined || named === '' ? mountedLabs() : [needLab(named)];
}
