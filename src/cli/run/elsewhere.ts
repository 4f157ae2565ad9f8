/**
 * A lab of another container. A mount cannot be bound across mount namespaces, but who is in the other one can make a copy that
 * is mounted nowhere, and mount that at home. Nothing of it is left when the command's namespace goes.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { attachMount, chroot, CLONE_NEWNS, cloneMount, setns } from '../../sys/mount.js';
import type { Fd } from '../../sys/fd.js';
import { attempt, CliError, describe } from '../errors.js';
import type { LabElsewhere } from '../labs.js';

/** Mounts the lab at the same path here, in this thread's own mount namespace (unshared before), and returns the path. */
export function bringLab({ pid, dir }: LabElsewhere): string {
  const tree = cloneThere(pid, dir);
  try {
    attempt(`${dir} could not be made for the lab`, () => mkdirSync(dir, { recursive: true }));
    attempt(`the lab of process ${pid} could not be mounted`, () => attachMount(tree, dir));
  } finally {
    tree.close();
  }
  return dir;
}

/** Goes to the other namespace and comes back, to the root and working directory of before. */
function cloneThere(pid: string, dir: string): Fd {
  const there = allowed(pid, () => openSync(`/proc/${pid}/ns/mnt`, 'r'));
  const [home = -1, root = -1, cwd = -1] = ['/proc/self/ns/mnt', '/', '.'].map((path) => openSync(path, 'r'));
  try {
    allowed(pid, () => setns(there, CLONE_NEWNS));
    try {
      return attempt(`the lab of process ${pid} could not be taken`, () => cloneMount(dir));
    } finally {
      setns(home, CLONE_NEWNS);
      process.chdir(`/proc/self/fd/${root}`);
      chroot('.');
      process.chdir(`/proc/self/fd/${cwd}`);
    }
  } finally {
    for (const fd of [there, home, root, cwd]) closeSync(fd);
  }
}

function allowed<T>(pid: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (code !== 'EPERM' && code !== 'EACCES') throw new CliError(`process ${pid}: ${describe(error)}`);
    throw new CliError(`the mount namespace of process ${pid} may not be entered (${code}): that takes CAP_SYS_ADMIN, `
      + 'CAP_SYS_PTRACE and CAP_SYS_CHROOT; in a container add --cap-add SYS_ADMIN --cap-add SYS_PTRACE --cap-add SYS_CHROOT');
  }
}
