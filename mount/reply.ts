/**
 * Replies: the one place where results and thrown Errnos become messages to the kernel. Each request is answered exactly
 * once: a second answer is dropped and logged, a missing one becomes EIO (session.ts).
 */
import { ERRNO, Errno } from '../src/abi/errno.js';
import { errnoName } from '../src/abi/errno.js';
import { logError, trace, tracing } from '../src/trace/trace.js';
import type { Channel } from './channel.js';
import { OUT_BODY, WORD, fuse_open_out, fuse_out_header, fuse_write_out, words } from './fuse-abi.js';
import { put64 } from './encode.js';
import type { Request } from './request.js';

const HEADER = words(fuse_out_header);
/** Where a payload starts in `words`. */
export const BODY = OUT_BODY / WORD;
const OPEN = words(fuse_open_out, OUT_BODY);
const WRITE = words(fuse_write_out, OUT_BODY);

/** Payloads up to this size are copied behind the header; larger ones go out with one writev, bytes. */
const COPY = 2048;

export class Replies {
  /** Largest payload that can be built in place, bytes. */
  static readonly CAPACITY = 1 << 16;
  readonly data = new Uint8Array(OUT_BODY + Replies.CAPACITY);
  readonly words = new Uint32Array(this.data.buffer, 0, Math.trunc(this.data.length / WORD));
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Success with the first `size` bytes that were built at BODY. */
  send(request: Request, size: number): void {
    if (!this.#header(request, 0, size)) return;
    this.#channel.send(this.data, OUT_BODY + size);
  }

  /** Success without payload. */
  done(request: Request): void {
    this.send(request, 0);
  }

  /** READ, READLINK, xattrs. */
  bytes(request: Request, payload: Uint8Array): void {
    if (!this.#header(request, 0, payload.length)) return;
    if (payload.length <= COPY) {
      this.data.set(payload, OUT_BODY);
      this.#channel.send(this.data, OUT_BODY + payload.length);
    } else {
      this.#channel.send2(this.data, OUT_BODY, payload);
    }
  }

  /** OPEN, OPENDIR. */
  opened(request: Request, fh: number, flags: number): void {
    put64(this.words, OPEN.fh, fh);
    this.words[OPEN.open_flags] = flags;
    this.words[OPEN.backing_id] = 0;
    this.send(request, fuse_open_out.size);
  }

  written(request: Request, size: number): void {
    this.words[WRITE.size] = size;
    this.words[WRITE.padding] = 0;
    this.send(request, fuse_write_out.size);
  }

  /** Whatever a handler threw. Anything but an Errno is a defect: the caller gets EIO, the operator a line in the log. */
  failed(request: Request, error: unknown): void {
    if (!(error instanceof Errno)) logError(`request ${request.opcode}`, error);
    this.error(request, error instanceof Errno ? error.errno : ERRNO.EIO);
  }

  /** `errno` is positive. */
  error(request: Request, errno: number): void {
    if (!this.#header(request, errno, 0)) return;
    this.#channel.send(this.data, OUT_BODY);
  }

  #header(request: Request, errno: number, size: number): boolean {
    if (request.finished) {
      logError(`request ${request.opcode}`, new Error('answered twice'));
      return false;
    }
    request.finished = true;
    if (tracing('fuse')) {
      trace('fuse.reply', { unique: BigInt(request.unique), error: errno === 0 ? undefined : errnoName(errno), length: size });
    }
    const out = this.words;
    out[HEADER.len] = OUT_BODY + size;
    out[HEADER.error] = -errno;
    put64(out, HEADER.unique, request.unique);
    return true;
  }
}
