/**
 * JSON values from tokens, with QEMU's limits and error texts (qobject/json-streamer.c, json-parser.c).
 *
 * A message ends where braces and brackets are balanced again; nothing depends on lines. Integers beyond 2^53 are bigint,
 * so that an `id` comes back as it was sent.
 */
import type { Token } from './json-lexer.js';
import { JsonLexer } from './json-lexer.js';

export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };

/** QEMU's MAX_TOKEN_COUNT and MAX_NESTING. */
const MAX_TOKENS = 2 << 20;
const MAX_NESTING = 1 << 10;
/** QEMU's MAX_TOKEN_SIZE: of all tokens of a message together, bytes. */
const MAX_SIZE = 64 << 20;

export class JsonError extends Error {
  override readonly name = 'JsonError';
}

const syntax = (detail: string): JsonError => new JsonError(`JSON parse error, ${detail}`);

/** Feeds bytes, calls back with each value or error, in order. */
export class JsonStream {
  readonly #lexer: JsonLexer;
  readonly #onMessage: (value: Json | JsonError) => void;
  #tokens: Token[] = [];
  #size = 0;
  #braces = 0;
  #brackets = 0;

  constructor(onMessage: (value: Json | JsonError) => void) {
    this.#onMessage = onMessage;
    this.#lexer = new JsonLexer((token) => this.#take(token), MAX_SIZE);
  }

  feed(chunk: Buffer): void {
    this.#lexer.feed(chunk);
  }

  #take(token: Token): void {
    if (token.type === 'error') {
      this.#reset();
      this.#onMessage(syntax(`stray '${token.text.toString('utf8')}'`));
      return;
    }
    if (token.type === '{') this.#braces++;
    else if (token.type === '}') this.#braces--;
    else if (token.type === '[') this.#brackets++;
    else if (token.type === ']') this.#brackets--;
    this.#size += token.text.length;
    const tooMuch = this.#size > MAX_SIZE || token.type === 'excess' ? 'JSON token size limit exceeded'
      : this.#tokens.length + 1 > MAX_TOKENS ? 'JSON token count limit exceeded'
        : this.#braces + this.#brackets > MAX_NESTING ? 'JSON nesting depth limit exceeded' : undefined;
    if (tooMuch !== undefined) {
      this.#reset();
      this.#onMessage(new JsonError(tooMuch));
      return;
    }
    this.#tokens.push(token);
    if (this.#braces > 0 || this.#brackets > 0) {
      if (this.#braces >= 0 && this.#brackets >= 0) return;
    }
    const tokens = this.#tokens;
    this.#reset();
    let result: Json | JsonError;
    try {
      result = parse(tokens);
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      result = error;
    }
    this.#onMessage(result);
  }

  #reset(): void {
    this.#tokens = [];
    this.#size = this.#braces = this.#brackets = 0;
  }
}

function parse(tokens: readonly Token[]): Json {
  let at = 0;
  const next = (): Token => {
    const token = tokens[at++];
    if (token === undefined) throw syntax('premature EOI');
    return token;
  };
  const value = (): Json => {
    const token = next();
    switch (token.type) {
      case '{': return object();
      case '[': return array();
      case 'integer': return integer(token.text.toString('latin1'));
      case 'float': return Number(token.text.toString('latin1'));
      case 'string': return unescape(token.text);
      case 'keyword': return keyword(token.text.toString('latin1'));
      default: throw syntax('expecting value');
    }
  };
  const array = (): Json[] => {
    const list: Json[] = [];
    if (tokens[at]?.type === ']') {
      at++;
      return list;
    }
    for (;;) {
      list.push(value());
      const token = next();
      if (token.type === ']') return list;
      if (token.type !== ',') throw syntax('expected separator in list');
    }
  };
  const pair = (into: Map<string, Json>): void => {
    const key = value();
    if (typeof key !== 'string') throw syntax('key is not a string in object');
    if (next().type !== ':') throw syntax('missing : in object pair');
    const parsed = value();
    if (into.has(key)) throw syntax('duplicate key');
    into.set(key, parsed);
  };
  const object = (): { [key: string]: Json } => {
    const members = new Map<string, Json>();
    if (tokens[at]?.type === '}') {
      at++;
      return {};
    }
    for (;;) {
      pair(members);
      const token = next();
      if (token.type === '}') return Object.fromEntries(members);
      if (token.type !== ',') throw syntax('expected separator in dict');
    }
  };
  return value();
}

function integer(text: string): Json {
  const exact = BigInt(text);
  if (exact > 0xffff_ffff_ffff_ffffn || exact < -(1n << 63n)) return Number(text);
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : exact;
}

function keyword(text: string): Json {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (text === 'null') return null;
  throw syntax(`invalid keyword '${text}'`);
}

const ESCAPES: Record<string, string> = { '"': '"', "'": "'", '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** What mod_utf8_encode() takes: U+0000 too; no surrogates, no noncharacters. */
const isCharacter = (unit: number): boolean =>
  unit >= 0 && unit < 0xfffe && !(unit >= 0xd800 && unit < 0xe000) && !(unit >= 0xfdd0 && unit <= 0xfdef);

function unescape(raw: Buffer): string {
  const body = raw.subarray(1, -1);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw syntax('invalid UTF-8 sequence in string');
  }
  if (!text.includes('\\')) return text;
  return text.replace(/\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u.{0,4}|[^u])/gsu, (whole, escape: string) => {
    if (escape[0] !== 'u') {
      const plain = ESCAPES[escape];
      if (plain === undefined) throw syntax('invalid escape sequence in string');
      return plain;
    }
    if (escape.length > 5) {
      return String.fromCharCode(Number.parseInt(escape.slice(1, 5), 16), Number.parseInt(escape.slice(7), 16));
    }
    const unit = /^u[0-9a-fA-F]{4}$/.test(escape) ? Number.parseInt(escape.slice(1), 16) : -1;
    if (isCharacter(unit)) return String.fromCharCode(unit);
    // What QEMU prints are six bytes, the closing quote among them where the string ends early.
    throw syntax(`${whole.length < 6 ? `${whole}${String.fromCharCode(raw[0] ?? 0)}` : whole} is not a valid Unicode character`);
  });
}
