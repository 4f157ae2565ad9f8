/**
 * JSON values from tokens, with QEMU's limits and error texts (qobject/json-streamer.c, json-parser.c).
 *
 * A message ends where braces and brackets are balanced again; nothing depends on lines. Integers beyond 2^53 are bigint,
 * so that an `id` comes back as it was sent.
 */
import type { Token } from './json-lexer.js';
import { JsonLexer, MAX_TOKEN_SIZE } from './json-lexer.js';
import { StringError, unescape } from './json-string.js';

export type Json = null | boolean | number | bigint | JsonFloat | string | Json[] | { [key: string]: Json };

/** A number as it comes with a fraction or an exponent, or beyond 64 bits: no integer for QEMU, whatever its value is. */
export class JsonFloat {
  constructor(readonly value: number) {}
}

export type JsonObject = { [key: string]: Json };
export const isJsonObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonFloat);

/** QEMU's MAX_TOKEN_COUNT and MAX_NESTING. */
const MAX_TOKENS = 2 << 20;
const MAX_NESTING = 1 << 10;
/** Of all tokens of a message together, bytes. */
const MAX_SIZE = MAX_TOKEN_SIZE - 1;

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
    this.#lexer = new JsonLexer((token) => this.#take(token));
  }

  /** Returns how much was taken: all of it, unless `enough` says so. */
  feed(chunk: Buffer, enough?: () => boolean): number {
    return this.#lexer.feed(chunk, enough);
  }

  #take(token: Token): void {
    if (token.type === 'error') {
      this.#reset();
      // A NUL ends it, as every text in C.
      this.#onMessage(syntax(`stray '${token.text.toString('utf8').replace(/\0.*/s, '')}'`));
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
      case 'float': return new JsonFloat(Number(token.text.toString('latin1')));
      case 'string': return text(token.text);
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

function text(quoted: Buffer): string {
  try {
    return unescape(quoted);
  } catch (error) {
    throw error instanceof StringError ? syntax(error.message) : error;
  }
}

function integer(text: string): Json {
  const exact = BigInt(text);
  if (exact > 0xffff_ffff_ffff_ffffn || exact < -(1n << 63n)) return new JsonFloat(Number(text));
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : exact;
}

function keyword(text: string): Json {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (text === 'null') return null;
  throw syntax(`invalid keyword '${text}'`);
}
