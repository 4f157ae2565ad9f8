/**
 * The request that is being handled: one buffer, read from the channel, valid until the handler returns or awaits.
 * Fields are read as 32-bit words (fuse-abi.ts: words()).
 */
import { bigBuffer } from '../src/sys/big-buffer.js';
import { IN_BODY, WORD, fuse_in_header, fuse_write_in, words } from './fuse-abi.js';

export const HEADER = words(fuse_in_header);

/** Largest WRITE payload, bytes; READ is bounded by the same number of pages. */
export const MAX_WRITE = 1 << 20;
/** Bytes before it. */
const WRITE_HEAD = fuse_in_header.size + fuse_write_in.size;
const PAGE_SIZE = 4096;
const TWO_32 = 0x1_0000_0000;

export class Message {
  /**
   * Whole message; only the first `length` bytes are its content. The payload of a WRITE begins at a page: the kernel then
   * copies a client's pages to pages, not each to pieces of two.
   */
  readonly data = bigBuffer(PAGE_SIZE + MAX_WRITE).subarray(PAGE_SIZE - WRITE_HEAD);
  readonly #words = new Uint32Array(this.data.buffer, this.data.byteOffset, Math.trunc(this.data.length / WORD));
  readonly #text = Buffer.from(this.data.buffer, this.data.byteOffset, this.data.length);
  /** Bytes read. */
  length = 0;

  u32(word: number): number {
    return this.#words[word] as number;
  }

  /** An unsigned 64-bit number; above 2^53 it is rounded. */
  u64(word: number): number {
    return (this.#words[word + 1] as number) * TWO_32 + (this.#words[word] as number);
  }

  big(word: number): bigint {
    return (BigInt(this.#words[word + 1] as number) << 32n) | BigInt(this.#words[word] as number);
  }

  /** A view, not a copy: the payload that starts at byte `start`. */
  bytes(start: number, size: number): Uint8Array {
    return this.data.subarray(start, Math.min(start + size, this.length));
  }

  /** The NUL-terminated name at byte `start`, as UTF-8. */
  name(start = IN_BODY): string {
    const end = this.data.indexOf(0, start);
    return this.#text.toString('utf8', start, end < 0 || end > this.length ? this.length : end);
  }

  get wordCount(): number {
    return Math.trunc(this.length / WORD);
  }
}
