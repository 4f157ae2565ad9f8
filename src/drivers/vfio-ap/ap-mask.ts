/**
 * Masks of adapters and domains: 256 bits, of which number 0 is the leftmost, as AP instructions and the kernel's attributes
 * have them. Values never change; operators on bigint combine them. Source: drivers/s390/crypto/ap_bus.c.
 */
import { Errno } from '../../abi/errno.js';

/** AP_DEVICES, AP_DOMAINS: numbers are 0 to 255. */
export const AP_MASK_BITS = 256;
const HEX_DIGITS = AP_MASK_BITS / 4;

export type ApMask = bigint;
export const NO_BITS: ApMask = 0n;
export const ALL_BITS: ApMask = (1n << BigInt(AP_MASK_BITS)) - 1n;

/** The mask of one number, 0 to 255. */
export function bit(number: number): ApMask {
  return 1n << BigInt(AP_MASK_BITS - 1 - number);
}

export function maskOf(numbers: Iterable<number>): ApMask {
  let mask = NO_BITS;
  for (const number of numbers) mask |= bit(number);
  return mask;
}

export function hasBit(mask: ApMask, number: number): boolean {
  return (mask & bit(number)) !== NO_BITS;
}

/** `mask` without the bits of `gone`. */
export function without(mask: ApMask, gone: ApMask): ApMask {
  return mask & (ALL_BITS ^ gone);
}

/** The numbers in a mask, ascending. */
export function numbersOf(mask: ApMask): number[] {
  if (mask === NO_BITS) return [];
  const text = mask.toString(2).padStart(AP_MASK_BITS, '0');
  const numbers: number[] = [];
  for (let at = text.indexOf('1'); at >= 0; at = text.indexOf('1', at + 1)) numbers.push(at);
  return numbers;
}

/** `0x` and 64 digits, without newline. */
export function formatMask(mask: ApMask): string {
  return `0x${mask.toString(16).padStart(HEX_DIGITS, '0')}`;
}

/**
 * ap_hex2bitmap(): hexadecimal digits from the left, what is not there is zero; 0x and one final newline may be there. Throws
 * EINVAL for an empty text, for anything else in it and for more than 64 digits.
 */
export function parseHexMask(text: string): ApMask {
  const digits = text.startsWith('0x') ? text.slice(2) : text;
  if (digits === '') throw new Errno('EINVAL');
  const body = digits.replace(/\n$/, '');
  if (!/^[0-9a-f]*$/i.test(body) || body.length > HEX_DIGITS) throw new Errno('EINVAL');
  return BigInt(`0x0${body.padEnd(HEX_DIGITS, '0')}`);
}

const NUMBER = '(0x[0-9a-f]+|[0-9]+)';
const TERM = new RegExp(`^([+-])${NUMBER}(?:-${NUMBER})?[,\\n]*`, 'i');

/**
 * What is written to apmask and aqmask, ap_parse_bitmap_str(): a whole mask in hexadecimal, or changes to the old one:
 * `+0-15,+32,-128`, where the last word on a number counts. Throws EINVAL, as modify_bitmap() does.
 */
export function parseMaskChange(text: string, old: ApMask): ApMask {
  if (!/^[+-]/.test(text)) return parseHexMask(text);
  let mask = old;
  for (let rest = text; rest !== '';) {
    const found = TERM.exec(rest);
    const [whole = '', sign, first = '', last = first] = found ?? [];
    if (found === null) throw new Errno('EINVAL');
    const [from, to] = [parseNumber(first), parseNumber(last)];
    if (from > to || to >= AP_MASK_BITS) throw new Errno('EINVAL');
    for (let number = from; number <= to; number++) mask = sign === '+' ? mask | bit(number) : without(mask, bit(number));
    rest = rest.slice(whole.length);
  }
  return mask;
}

/** simple_strtoul() with base 0: 010 is eight. In 08 the number ends before the 8, which is then refused. */
function parseNumber(text: string): number {
  if (/^0x/i.test(text)) return Number(text);
  if (!/^0[0-9]/.test(text)) return Number(text);
  if (/[89]/.test(text)) throw new Errno('EINVAL');
  return Number.parseInt(text, 8);
}
