/** A migration's connection: bytes both ways, read into the caller's memory, with back pressure. */
import type { Socket } from 'node:net';
import { errorText } from './error-text.js';

/** Bytes that may wait unread before the peer has to. */
const READ_AHEAD = 4 << 20;

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
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];
  #queued = 0;
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  /** Takes the socket over. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#queued += chunk.length;
      if (this.#queued > READ_AHEAD) socket.pause();
      this.#wake?.();
    });
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#end());
    socket.on('error', (error) => {
      this.#failure ??= error;
      this.#end();
    });
  }

  /** Settles when all of it is with the kernel. Rejects with ChannelError, with QEMU's text. */
  write(parts: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.cork();
      let last: Error | undefined;
      parts.forEach((part, index) => {
        this.#socket.write(part, (error) => {
          if (error !== null && error !== undefined) last ??= error;
          if (index < parts.length - 1) return;
          if (last === undefined) resolve();
          else reject(new ChannelError(`Unable to write to socket: ${errorText(this.#failure ?? last)}`));
        });
      });
      this.#socket.uncork();
    });
  }

  /** Fills all of `into`. Rejects with EndOfStream where the peer closed before the first or within the bytes. */
  async read(into: Uint8Array): Promise<void> {
    let at = 0;
    while (at < into.length) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) {
        if (this.#failure !== undefined) throw new ChannelError(`Unable to read from socket: ${errorText(this.#failure)}`);
        if (this.#ended) throw new EndOfStream();
        await new Promise<void>((resolve) => { this.#wake = resolve; });
        this.#wake = undefined;
        continue;
      }
      const size = Math.min(chunk.length, into.length - at);
      into.set(size === chunk.length ? chunk : chunk.subarray(0, size), at);
      at += size;
      if (size === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(size);
      this.#queued -= size;
      if (this.#socket.isPaused() && this.#queued < READ_AHEAD / 2) this.#socket.resume();
    }
  }

  /** Nothing more is sent; what was, arrives: whatever still comes is thrown away until the peer closes, or so many ms. */
  async finish(patience: number): Promise<void> {
    this.#socket.removeAllListeners('data');
    this.#socket.resume().end();
    if (!this.#socket.destroyed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, patience);
        this.#socket.once('close', () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    this.#socket.destroy();
  }

  /** Ends it at once: pending reads and writes reject. */
  shutdown(): void {
    this.#socket.destroy();
    this.#end();
  }

  /** Lets it go: what was written still arrives. */
  close(): void {
    this.#socket.resume();
    this.#socket.end(() => this.#socket.destroy());
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }
}
