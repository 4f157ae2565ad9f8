/**
 * Tokens of QMP's JSON dialect, from bytes that arrive in any pieces: RFC 8259, plus strings in single quotes.
 *
 * The error states are QEMU's (qobject/json-lexer.c): a byte that fits no token makes an `error` token, and everything up to
 * the next structural or control character (a newline) is skipped. A token that is too long is `excess` as soon as it is, and
 * what follows begins another.
 */
export type TokenType = '{' | '}' | '[' | ']' | ',' | ':' | 'integer' | 'float' | 'keyword' | 'string' | 'error' | 'excess';

export interface Token {
  readonly type: TokenType;
  /** Raw UTF-8 text; strings with their quotes, escapes not yet resolved. */
  readonly text: Buffer;
}

/** QEMU's MAX_TOKEN_SIZE, bytes. */
export const MAX_TOKEN_SIZE = 64 << 20;

type State = 'start' | 'recovery' | 'string' | 'escape' | 'keyword' | 'minus' | 'zero' | 'digits' | 'point' | 'fraction'
  | 'exponent' | 'exponent-sign' | 'exponent-digits';

const C = (text: string): number => text.charCodeAt(0);
const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
const isLower = (byte: number): boolean => byte >= 0x61 && byte <= 0x7a;
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 9 || byte === 10 || byte === 13;
const PUNCTUATION = new Map<number, TokenType>((['{', '}', '[', ']', ',', ':'] as const).map((text) => [C(text), text]));
/** Where the lexer starts anew after an error: structural characters, control characters but for tabs, and what is no UTF-8. */
const RESYNCHRONIZES = Array.from({ length: 256 }, (_, byte) => (byte < 0x20 && byte !== 9) || byte >= 0xfe || PUNCTUATION.has(byte));
const resynchronizes = (byte: number): boolean => RESYNCHRONIZES[byte] === true;

export class JsonLexer {
  readonly #emit: (token: Token) => void;
  readonly #limit: number;
  #state: State = 'start';
  #quote = 0;
  /** Pieces of the current token from earlier chunks. */
  #pieces: Buffer[] = [];
  #length = 0;

  constructor(emit: (token: Token) => void, limit = MAX_TOKEN_SIZE) {
    this.#emit = emit;
    this.#limit = limit;
  }

  /**
   * Throws nothing: a bad byte is an `error` token. `chunk` is not kept. Returns how much was taken: all of it, unless `enough` says
   * so after a token.
   */
  feed(chunk: Buffer, enough = (): boolean => false): number {
    let begin = 0;
    let taken = chunk.length;
    for (let at = 0; at < taken; at++) {
      if (this.#state === 'string') at = this.#skipPlain(chunk, at, begin + this.#limit - this.#length);
      else if (this.#state === 'recovery') while (at < chunk.length && !resynchronizes(chunk[at] ?? 0)) at++;
      if (at === chunk.length) break;
      const byte = chunk[at] ?? 0;
      // A byte that ends a number or keyword is looked at again as the start of the next token.
      for (let again = true; again;) {
        again = false;
        if (this.#state === 'start' || this.#state === 'recovery') begin = at;
        const end = this.#step(byte);
        if (end === undefined) continue;
        const includes = end.includes;
        this.#finish(end.type, chunk.subarray(begin, includes ? at + 1 : at));
        begin = includes ? at + 1 : at;
        again = !includes;
        if (enough()) taken = at + 1;
      }
      if (this.#inToken && this.#length + at + 1 - begin > this.#limit) {
        this.#finish('excess', Buffer.alloc(0));
        begin = at + 1;
        if (enough()) taken = at + 1;
      }
    }
    if (this.#inToken) this.#keep(chunk.subarray(begin, taken));
    return taken;
  }

  get #inToken(): boolean {
    return this.#state !== 'start' && this.#state !== 'recovery';
  }

  /** The first byte of `chunk` from `at` on, `end` at most, that means something in a string: most of a long message does not. */
  #skipPlain(chunk: Buffer, at: number, end: number): number {
    const last = Math.min(chunk.length, end);
    while (at < last) {
      const byte = chunk[at] ?? 0;
      if (byte < 0x20 || byte === 0x22 || byte === 0x27 || byte === 0x5c || byte >= 0xfe) return at;
      at++;
    }
    return at;
  }

  #keep(piece: Buffer): void {
    this.#length += piece.length;
    this.#pieces.push(Buffer.from(piece));
  }

  #finish(type: TokenType, last: Buffer): void {
    const text = type === 'excess' ? last
      : this.#pieces.length === 0 ? Buffer.from(last) : Buffer.concat([...this.#pieces, last]);
    this.#pieces = [];
    this.#length = 0;
    this.#state = type === 'error' ? 'recovery' : 'start';
    this.#emit({ type, text });
  }

  /** One transition; a result ends the token with (`includes`) or before this byte. */
  #step(byte: number): { type: TokenType; includes: boolean } | undefined {
    const next = (state: State): undefined => {
      this.#state = state;
      return undefined;
    };
    const bad = { type: 'error', includes: true } as const;
    switch (this.#state) {
      case 'start': return this.#start(byte);
      case 'recovery':
        if (!resynchronizes(byte)) return undefined;
        this.#state = 'start';
        return this.#start(byte);
      case 'string':
        if (byte === this.#quote) return { type: 'string', includes: true };
        if (byte === 0x5c) return next('escape');
        return byte < 0x20 || byte >= 0xfe ? bad : undefined;
      case 'escape': return byte < 0x20 || byte >= 0xfe ? bad : next('string');
      case 'keyword': return isLower(byte) ? undefined : { type: 'keyword', includes: false };
      case 'minus': return byte === 0x30 ? next('zero') : isDigit(byte) ? next('digits') : bad;
      case 'zero':
        // QEMU has no exponent here.
        return isDigit(byte) ? bad : byte === C('.') ? next('point') : { type: 'integer', includes: false };
      case 'digits':
        if (isDigit(byte)) return undefined;
        return byte === C('.') ? next('point') : byte === C('e') || byte === C('E') ? next('exponent') : { type: 'integer',
          includes: false };
      case 'point': return isDigit(byte) ? next('fraction') : bad;
      case 'fraction':
        if (isDigit(byte)) return undefined;
        return byte === C('e') || byte === C('E') ? next('exponent') : { type: 'float', includes: false };
      case 'exponent': return byte === C('+') || byte === C('-') ? next('exponent-sign') : isDigit(byte)
        ? next('exponent-digits') : bad;
      case 'exponent-sign': return isDigit(byte) ? next('exponent-digits') : bad;
      case 'exponent-digits': return isDigit(byte) ? undefined : { type: 'float', includes: false };
    }
  }

  #start(byte: number): { type: TokenType; includes: boolean } | undefined {
    const punctuation = PUNCTUATION.get(byte);
    if (punctuation !== undefined) return { type: punctuation, includes: true };
    if (isSpace(byte)) return undefined;
    if (byte === 0x22 || byte === 0x27) {
      this.#quote = byte;
      this.#state = 'string';
    } else if (byte === C('-')) this.#state = 'minus';
    else if (byte === 0x30) this.#state = 'zero';
    else if (isDigit(byte)) this.#state = 'digits';
    else if (isLower(byte)) this.#state = 'keyword';
    else return { type: 'error', includes: true };
    return undefined;
  }
}
