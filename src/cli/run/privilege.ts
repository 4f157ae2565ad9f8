/** Getting into a private mount namespace: as root, with CAP_SYS_ADMIN, or as root of a new user namespace. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { isErrno } from '../../abi/errno.js';
import { exec } from '../../sys/exec.js';
import { CLONE_NEWNS, mount, MS_REC, MS_SLAVE, unshare } from '../../sys/mount.js';
import { CliError, describe } from '../errors.js';
import { findCommand } from './command.js';
import { passOn } from './inherit.js';
import { enterMountedRoot } from './root.js';
import type { StdioFlags } from './inherit.js';

/** Set for the second start, inside the user namespace. */
const INSIDE = 'MDEVSIM_USER_NAMESPACE';
const UNSHARE = ['--user', '--map-root-user', '--mount', '--propagation', 'slave'];

const REFUSED = 'mdevsim run needs a private mount namespace: run it as root, in a container with --cap-add SYS_ADMIN '
  + '--cap-add SYS_PTRACE, or on a machine that allows unprivileged user namespaces';

const FUSE_REFUSED: Readonly<Record<string, string>> = {
  ENOENT: 'there is no /dev/fuse: load the fuse module, or give the container --device /dev/fuse',
  EACCES: '/dev/fuse may not be opened by this user: it should have mode 0666',
  EPERM: 'this container may not open /dev/fuse, also where it sees one: give it --device /dev/fuse',
};

/** Throws CliError when /dev/fuse cannot be used. */
export function needFuse(): void {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch (error) {
    throw new CliError(FUSE_REFUSED[(error as NodeJS.ErrnoException).code ?? ''] ?? `/dev/fuse cannot be opened: ${describe(error)}`);
  }
}

/**
 * Puts this thread into a mount namespace of its own. Where that is not allowed, this process starts over as root of a new
 * user namespace: then it does not return. `fds` are passed on in that case.
 */
export function enterMountNamespace(fds: readonly number[], stdio: StdioFlags): void {
  try {
    unshare(CLONE_NEWNS);
    keepMountsInside();
    return;
  } catch (error) {
    if (!isErrno(error, 'EPERM') && !isErrno(error, 'EACCES')) {
      throw new CliError(`a private mount namespace could not be made: ${describe(error)}`);
    }
  }
  if (process.env[INSIDE] !== undefined) throw new CliError(REFUSED);
  const probe = spawnSync('unshare', [...UNSHARE, 'true'], { stdio: 'ignore', timeout: 5000 });
  if (probe.status !== 0) throw new CliError(REFUSED);
  passOn(fds, stdio);
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  exec(findCommand('unshare'), ['unshare', ...UNSHARE, '--', ...again], { ...process.env, [INSIDE]: '1' });
}

/** What is mounted from now on is not seen outside of this namespace. */
function keepMountsInside(): void {
  try {
    mount(null, '/', null, MS_REC | MS_SLAVE);
  } catch (error) {
    if (!isErrno(error, 'EINVAL')) throw error;
    enterMountedRoot();
  }
}
