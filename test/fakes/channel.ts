/**
 * FakeKernel: the kernel's side of /dev/fuse in memory. Tests send requests as raw bytes and see every reply and notice as
 * bytes; each reply is matched with its request, and one that nobody asked for is a failure.
 */
import assert from 'node:assert/strict';
import { ERRNO, errnoName } from '../../src/abi/errno.js';
import type { Channel } from '../../mount/channel.js';
import { IN_BODY, OUT_BODY, fuse_in_header, fuse_init_in, fuse_out_header } from '../../mount/fuse-abi.js';

export interface Reply {
  /** `0` or the name of the errno. */
  readonly error: string;
  readonly payload: Uint8Array;
}

export interface Notice {
  readonly code: number;
  readonly payload: Uint8Array;
}

export interface RequestOptions {
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
}

export class FakeKernel implements Channel {
  readonly notices: Notice[] = [];
  /** While set, notices wait in sendNotice() until it resolves. */
  noticeGate: Promise<void> | undefined = undefined;
  closed = false;
  readonly #requests: Uint8Array[] = [];
  readonly #waiting = new Map<bigint, (reply: Reply) => void>();
  #nextUnique = 2n;
  #callback: (() => void) | undefined = undefined;
  #gone = false;

  /** Sends a request and resolves with its one reply. */
  request(opcode: number, nodeid: number, body: Uint8Array = new Uint8Array(0), options: RequestOptions = {}): Promise<Reply> {
    if (this.closed) return Promise.resolve({ error: 'ENOTCONN', payload: new Uint8Array(0) });
    const unique = this.#queue(opcode, nodeid, body, options);
    return new Promise((resolve) => {
      this.#waiting.set(unique, resolve);
      this.#callback?.();
    });
  }

  /** Sends a request that gets no reply (FORGET, INTERRUPT); returns its number. */
  post(opcode: number, nodeid: number, body: Uint8Array = new Uint8Array(0)): bigint {
    const unique = this.#queue(opcode, nodeid, body, {});
    this.#callback?.();
    return unique;
  }

  /** The number that the next request will have. */
  get nextUnique(): bigint {
    return this.#nextUnique;
  }

  /** Requests without a reply so far. */
  get unanswered(): number {
    return this.#waiting.size;
  }

  init(major = 7, minor = 41, flags = 0xffffffff): Promise<Reply> {
    return this.request(26, 0, fuse_init_in.encode({ major, minor, max_readahead: 131072, flags }));
  }

  /** The channel became readable. */
  wake(): void {
    this.#callback?.();
  }

  /** As umount: the next read gives ENODEV. */
  unmount(): void {
    this.#gone = true;
    this.#callback?.();
  }

  #queue(opcode: number, nodeid: number, body: Uint8Array, options: RequestOptions): bigint {
    const unique = this.#nextUnique;
    this.#nextUnique += 2n;
    const message = new Uint8Array(IN_BODY + body.length);
    message.set(fuse_in_header.encode({
      len: message.length, opcode, unique, nodeid: BigInt(nodeid), uid: options.uid ?? 0, gid: options.gid ?? 0,
      pid: options.pid ?? process.pid,
    }));
    message.set(body, IN_BODY);
    this.#requests.push(message);
    return unique;
  }

  receive(data: Uint8Array): number {
    const message = this.#requests.shift();
    if (message === undefined) return this.#gone || this.closed ? -ERRNO.ENODEV : -ERRNO.EAGAIN;
    data.set(message);
    return message.length;
  }

  send(data: Uint8Array, size: number): number {
    this.#take(data.slice(0, size));
    return size;
  }

  send2(head: Uint8Array, headSize: number, body: Uint8Array): number {
    this.#take(Buffer.concat([head.subarray(0, headSize), body]));
    return headSize + body.length;
  }

  async sendNotice(data: Uint8Array): Promise<void> {
    const copy = data.slice();
    await this.noticeGate;
    if (!this.closed) this.#take(copy);
  }

  onReadable(callback: () => void): void {
    this.#callback = callback;
  }

  close(): void {
    this.closed = true;
    this.#callback = undefined;
    for (const resolve of this.#waiting.values()) resolve({ error: 'ENOTCONN', payload: new Uint8Array(0) });
    this.#waiting.clear();
  }

  #take(message: Uint8Array): void {
    if (this.closed) return;
    const { len, error, unique } = fuse_out_header.decode(message);
    assert.equal(len, message.length, 'the length in the header is that of the message');
    const payload = message.slice(OUT_BODY);
    if (unique === 0n) {
      this.notices.push({ code: error, payload });
      return;
    }
    const resolve = this.#waiting.get(unique);
    assert.ok(resolve !== undefined, `an answer to request ${unique}, which waits for none`);
    this.#waiting.delete(unique);
    resolve({ error: error === 0 ? '0' : (errnoName(-error) ?? String(error)), payload });
  }
}
