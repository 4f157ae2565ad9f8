/**
 * A migration's connection: bytes both ways, between the kernel and the caller's memory and nowhere else.
 *
 * Reads and writes go on without waiting as long as the socket allows, so that a step costs no more than its copy; where it does
 * not, the event loop says when. One read and one write at a time.
 */
import { ERRNO } from '../../abi/errno.js';
import type { Fd } from '../../sys/fd.js';
import { readFd, setNonBlocking, writevFd } from '../../sys/io.js';
import { isUnixSocket, receive, sendWithDescriptors, setSendBuffer, shutdownBoth, shutdownWriting } from '../../sys/socket.js';
import { strerror } from '../../sys/strerror.js';
import { Readiness } from '../../sys/watch.js';

/** Bytes that may be under way, where the machine allows so many: few enough to stay near the CPUs. */
const SEND_BUFFER = 1 << 20;
/** Bytes moved without a wait, after which everybody else has a turn. */
const TURN = 4 << 20;
const WRITE_FAILED = 'Unable to write to socket';

export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}

/** The peer closed its side where more was expected. */
export class EndOfStream extends ChannelError {
  constructor() {
    super('Unexpected end of stream');
  }
}

export class Channel {
  readonly #fd: Fd;
  readonly #readiness: Readiness;
  /** Bytes since the last wait. */
  #moved = 0;

  /** Takes a connected socket over. */
  constructor(socket: Fd) {
    this.#fd = socket;
    setNonBlocking(socket.fd);
    setSendBuffer(socket.fd, SEND_BUFFER);
    this.#readiness = new Readiness(socket.fd);
  }

  /** Whether descriptors can be passed along. */
  get passesDescriptors(): boolean {
    return !this.#fd.closed && isUnixSocket(this.#fd.fd);
  }

  /** Settles when all of it is with the kernel. Rejects with ChannelError, with QEMU's text. */
  async write(parts: readonly Uint8Array[]): Promise<void> {
    for (let rest = parts; rest.length > 0;) {
      const count = this.#fd.closed ? -ERRNO.EPIPE : writevFd(this.#fd.fd, rest);
      if (count >= 0) {
        rest = after(rest, count);
        await this.#turn(count);
      } else await this.#retry(-count, 'writable', WRITE_FAILED);
    }
  }

  /** As write(); the descriptors go with the first byte, and stay the caller's too. */
  async writeWithDescriptors(data: Uint8Array, fds: readonly number[]): Promise<void> {
    for (;;) {
      const count = this.#fd.closed ? -ERRNO.EPIPE : sendWithDescriptors(this.#fd.fd, data, fds);
      if (count >= 0) return this.write(after([data], count));
      await this.#retry(-count, 'writable', WRITE_FAILED);
    }
  }

  /** Fills all of `into`. Rejects with EndOfStream where the peer closed before the first or within the bytes. */
  read(into: Uint8Array): Promise<void> {
    return this.#fill(into, (socket, rest) => readFd(socket, rest, rest.length));
  }

  /** As read(). Descriptors that come with these bytes are put in `descriptors`, also when it rejects: the caller's. */
  readWithDescriptors(into: Uint8Array, descriptors: Fd[]): Promise<void> {
    return this.#fill(into, (socket, rest) => {
      const received = receive(socket, rest);
      descriptors.push(...received.descriptors);
      return received.size;
    });
  }

  async #fill(into: Uint8Array, readSome: (socket: number, rest: Uint8Array) => number): Promise<void> {
    for (let at = 0; at < into.length;) {
      if (this.#fd.closed) throw new EndOfStream();
      const count = readSome(this.#fd.fd, into.subarray(at));
      if (count === 0) throw new EndOfStream();
      if (count > 0) {
        at += count;
        await this.#turn(count);
      } else await this.#retry(-count, 'readable', 'Unable to read from socket');
    }
  }

  /** Nothing more is sent; what was, arrives: whatever still comes is thrown away until the peer closes, or so many ms. */
  async finish(patience: number): Promise<void> {
    if (!this.#fd.closed) shutdownWriting(this.#fd.fd);
    const timer = setTimeout(() => this.shutdown(), patience);
    const waste = new Uint8Array(64 << 10);
    try {
      for (;;) await this.read(waste);
    } catch { /* The end, or nobody there any more. */ }
    clearTimeout(timer);
    this.shutdown();
  }

  /** Ends it at once, for whoever has the socket: pending reads and writes reject. What was written still arrives. */
  shutdown(): void {
    if (this.#fd.closed) return;
    this.#readiness.close();
    shutdownBoth(this.#fd.fd);
    this.#fd.close();
  }

  async #retry(errno: number, direction: 'readable' | 'writable', what: string): Promise<void> {
    if (errno === ERRNO.EINTR) return;
    if (errno !== ERRNO.EAGAIN) throw new ChannelError(`${what}: ${strerror(errno)}`);
    this.#moved = 0;
    await this.#readiness.wait(direction);
  }

  async #turn(count: number): Promise<void> {
    this.#moved += count;
    if (this.#moved < TURN) return;
    this.#moved = 0;
    await new Promise((resolve) => { setImmediate(resolve); });
  }
}

/** What is left of `parts` after their first `count` bytes. */
function after(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let left = count;
  const at = parts.findIndex((part) => {
    if (part.length > left) return true;
    left -= part.length;
    return false;
  });
  if (at < 0) return [];
  return parts.slice(at).map((part, index) => (index === 0 && left > 0 ? part.subarray(left) : part));
}
