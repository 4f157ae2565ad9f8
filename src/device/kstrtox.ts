/** Numbers as the kernel reads them from an attribute. Source: lib/kstrtox.c. */
import { Errno } from '../abi/errno.js';

const ULONG_MAX = (1n << 64n) - 1n;

/** What a store() sees as its C string: the bytes before the first NUL, as latin1. */
export function cString(data: Uint8Array): string {
  const end = data.indexOf(0);
  return Buffer.from(data.buffer, data.byteOffset, end < 0 ? data.length : end).toString('latin1');
}

/**
 * kstrtoul() with base 0: 0x for hexadecimal, a leading 0 for octal, one `+` and one final newline are accepted.
 * Throws EINVAL for anything else, ERANGE above 64 bits.
 */
export function kstrtoul(text: string): bigint {
  const body = text.replace(/^\+/, '').replace(/\n$/, '');
  const digits = /^0x([0-9a-f]+)$/i.test(body) || /^[1-9][0-9]*$/.test(body) ? body
    : /^0[0-7]*$/.test(body) ? `0o${body}` : undefined;
  if (digits === undefined) throw new Errno('EINVAL');
  const value = BigInt(digits.toLowerCase());
  if (value > ULONG_MAX) throw new Errno('ERANGE');
  return value;
}
