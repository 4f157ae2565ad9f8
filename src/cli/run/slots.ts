/** The pool of open files through which the server opens files in its clients (see mount/slots.ts). */
import { closeSync, openSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { needDescriptors } from '../../sys/become.js';
import { dupTo } from '../../sys/fd.js';
import { FIRST_SLOT } from './slot-numbers.js';

/** Opens `count` slots of the lab at FIRST_SLOT and up, to be inherited. The lab's server must be another process. */
export function openSlots(lab: string, count: number): void {
  if (count === 0) return;
  needDescriptors(FIRST_SLOT + count);
  const token = randomBytes(6).toString('hex');
  for (let number = FIRST_SLOT; number < FIRST_SLOT + count; number++) {
    const fd = openSync(join(lab, '.slots', `${number}-${token}`), 'r+');
    dupTo(fd, number);
    closeSync(fd);
  }
}
