/** kstrtobool(): what a boolean attribute of the kernel accepts. Source: lib/kstrtox.c: kstrtobool() of Linux 6.12. */
import { Errno } from '../abi/errno.js';

/** The first character decides, after an `o` the second; what follows is not looked at. Throws EINVAL for anything else. */
export function kstrtobool(data: Uint8Array): boolean {
  const [first = '', second = ''] = String.fromCharCode(...data.subarray(0, 2));
  if ('yYtT1'.includes(first) && first !== '') return true;
  if ('nNfF0'.includes(first) && first !== '') return false;
  if ((first === 'o' || first === 'O') && second !== '') {
    if ('nN'.includes(second)) return true;
    if ('fF'.includes(second)) return false;
  }
  throw new Errno('EINVAL');
}
