/** kstrtobool(): what a boolean attribute of the kernel accepts. Source: lib/kstrtox.c: kstrtobool() of Linux 6.12. */
import { Errno } from '../abi/errno.js';

const codes = (characters: string): readonly number[] => [...characters].map((character) => character.charCodeAt(0));
const TRUE = codes('yYtT1');
const FALSE = codes('nNfF0');
const [O, CAPITAL_O] = codes('oO');
const AFTER_O_TRUE = codes('nN');
const AFTER_O_FALSE = codes('fF');

/** The first character decides, after an `o` the second; what follows is not looked at. Throws EINVAL for anything else. */
export function kstrtobool(data: Uint8Array): boolean {
  const [first = 0, second = 0] = [data[0], data[1]];
  const afterO = first === O || first === CAPITAL_O;
  if (TRUE.includes(first) || (afterO && AFTER_O_TRUE.includes(second))) return true;
  if (FALSE.includes(first) || (afterO && AFTER_O_FALSE.includes(second))) return false;
  throw new Errno('EINVAL');
}
