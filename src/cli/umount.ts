/** `mdevsim umount`: ends a lab, also one whose server has died. */
import { MountError, umountLab } from '../../mount/mount.js';
import { CliError, describe } from './errors.js';

export async function unmountLab(dir: string): Promise<void> {
  try {
    await umountLab(dir);
  } catch (error) {
    throw new CliError(error instanceof MountError ? error.message : `${dir} could not be unmounted: ${describe(error)}`);
  }
}
