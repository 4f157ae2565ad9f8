/** A root directory that is no mount point, as after debootstrap and chroot(8): mounts below it would be seen outside. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../abi/errno.js';
import { chroot, mount, MS_BIND, MS_REC, MS_SLAVE, umount } from '../../sys/mount.js';
import { CliError } from '../errors.js';

/** One of these is a mount point in any chroot where `run` can do something. */
const PLACES = ['/sys', '/proc', '/dev'];

/** Whether `dir` is a mount point; from now on nothing goes from there to other namespaces. */
function separated(dir: string): boolean {
  try {
    mount(null, dir, null, MS_REC | MS_SLAVE);
    return true;
  } catch (error) {
    if (isErrno(error, 'EINVAL') || isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/**
 * Binds the root directory to a place of our own and makes that the root of this thread. The propagation of the mount below
 * the present root cannot be changed from here, but that of /sys can: what is mounted there stays in this namespace.
 */
export function enterMountedRoot(): void {
  const place = PLACES.find(separated);
  if (place === undefined) {
    throw new CliError(`/ and ${PLACES.join(', ')} are no mount points; bind the root directory to itself before chroot, `
      + 'and mount /proc, /sys and /dev in it');
  }
  const cwd = process.cwd();
  const root = join(place, 'root');
  mount('tmpfs', place, 'tmpfs', 0, 'mode=755,size=1m');
  mkdirSync(root);
  mount('/', root, null, MS_BIND | MS_REC);
  mount(null, root, null, MS_REC | MS_SLAVE);
  // The tmpfs was bound along.
  umount(join(root, place));
  chroot(root);
  process.chdir(cwd);
}
