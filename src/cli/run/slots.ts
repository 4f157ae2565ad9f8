/** The pool of open files through which the server opens files in its clients (see mount/slots.ts). */
import { closeSync, openSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { isErrno } from '../../abi/errno.js';
import { needDescriptors } from '../../sys/become.js';
import { dupTo } from '../../sys/fd.js';
import { CliError } from '../errors.js';
import { FIRST_SLOT } from './slot-numbers.js';

/** Opens `count` slots of the lab at FIRST_SLOT and up, to be inherited. The lab's server must be another process. */
export function openSlots(lab: string, count: number): void {
  if (count === 0) return;
  try {
    needDescriptors(FIRST_SLOT + count);
  } catch (error) {
    if (!isErrno(error, 'EPERM')) throw error;
    throw new CliError(`${error.detail ?? ''} for ${count} slots: raise the limit (ulimit -Hn), or ask for fewer with --slots`);
  }
  const token = randomBytes(6).toString('hex');
  for (let number = FIRST_SLOT; number < FIRST_SLOT + count; number++) {
    const fd = openSync(join(lab, '.slots', `${number}-${token}`), 'r+');
    dupTo(fd, number);
    closeSync(fd);
  }
}
