/**
 * What a quoted string says. Source: QEMU's qobject/json-parser.c: parse_string(), util/unicode.c: mod_utf8_codepoint(),
 * mod_utf8_encode().
 *
 * Strings are modified UTF-8: U+0000 may be C0 80. Noncharacters are no characters, however they are written.
 */
export class StringError extends Error {
  override readonly name = 'StringError';
}

const BACKSLASH = 0x5c;
const ESCAPES = new Map(Object.entries({
  '"': '"', "'": "'", '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}).map(([name, text]) => [name.charCodeAt(0), text.charCodeAt(0)]));
const NONCHARACTER = /\p{Noncharacter_Code_Point}/u;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws StringError at the first thing that is wrong. `quoted`: the bytes of a token, with their quotes. */
export function unescape(quoted: Buffer): string {
  const end = quoted.length - 1;
  let at = 1;
  let next = quoted.indexOf(BACKSLASH, at);
  if (next < 0) return decode(quoted.subarray(at, end));
  // No escape is shorter than what it stands for.
  const text = Buffer.allocUnsafe(end - at);
  let size = 0;
  for (; next >= 0; next = quoted.indexOf(BACKSLASH, at)) {
    size += quoted.copy(text, size, at, next);
    try {
      const { code, length } = escape(quoted, next);
      size += code < 0x80 ? text.writeUInt8(code, size) - size : text.write(String.fromCodePoint(code), size);
      at = next + length;
    } catch (error) {
      // Unless something is wrong before it.
      decode(text.subarray(0, size));
      throw error;
    }
  }
  size += quoted.copy(text, size, at, end);
  return decode(text.subarray(0, size));
}

/** What the escape at a backslash stands for, and its bytes. */
function escape(quoted: Buffer, at: number): { readonly code: number; readonly length: number } {
  const letter = quoted[at + 1] ?? 0;
  if (letter !== 0x75) {
    const code = ESCAPES.get(letter);
    if (code === undefined) throw new StringError('invalid escape sequence in string');
    return { code, length: 2 };
  }
  const first = unit(quoted, at);
  const second = first >= 0xd800 && first < 0xdc00 ? unit(quoted, at + 6) : -1;
  const isPair = second >= 0xdc00 && second < 0xe000;
  const code = isPair ? 0x1_0000 + ((first - 0xd800) << 10) + second - 0xdc00 : first;
  const length = isPair ? 12 : 6;
  if (code >= 0 && (code < 0xd800 || code >= 0xe000) && !NONCHARACTER.test(String.fromCodePoint(code))) return { code, length };
  // What QEMU prints are all of the bytes, the closing quote among them where the string ends early.
  throw new StringError(`${quoted.toString('utf8', at, at + length)} is not a valid Unicode character`);
}

/** The four hexadecimal digits of a `\u`; -1 where there is none. */
function unit(quoted: Buffer, at: number): number {
  const [, digits] = /^\\u([0-9a-fA-F]{4})$/.exec(quoted.toString('latin1', at, at + 6)) ?? [];
  return digits === undefined ? -1 : Number.parseInt(digits, 16);
}

function decode(bytes: Buffer): string {
  let text: string;
  try {
    const parts = bytes.includes('\xc0\x80', 0, 'latin1') ? split(bytes) : [bytes];
    text = parts.map((part) => utf8.decode(part)).join('\0');
  } catch {
    throw new StringError('invalid UTF-8 sequence in string');
  }
  if (NONCHARACTER.test(text)) throw new StringError('invalid UTF-8 sequence in string');
  return text;
}

/** At every U+0000 of two bytes. */
const split = (bytes: Buffer): Buffer[] => bytes.toString('latin1').split('\xc0\x80').map((part) => Buffer.from(part, 'latin1'));
