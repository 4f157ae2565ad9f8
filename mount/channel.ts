/** Channel: where requests come from and replies go. The real one is /dev/fuse; tests have one in memory. */
import type { Watch } from '../src/sys/watch.js';
import { ERRNO } from '../src/abi/errno.js';
import type { Fd } from '../src/sys/fd.js';
import { watchReadable } from '../src/sys/watch.js';
import { readFd, setNonBlocking, writeFd, writeFd2, writeFdAsync } from '../src/sys/io.js';

export interface Channel {
  /** Reads one request into `data` without waiting. Its size, or -errno: -EAGAIN when there is none, -ENODEV after unmount. */
  receive(data: Uint8Array): number;
  /** Writes the first `size` bytes of `data`: one reply or notice. Bytes written, or -errno. */
  send(data: Uint8Array, size: number): number;
  /** One reply from two buffers. */
  send2(head: Uint8Array, headSize: number, body: Uint8Array): number;
  /** Writes a notice from another thread: the kernel may wait there for locks that our own clients hold. Never rejects. */
  sendNotice(data: Uint8Array): Promise<void>;
  /** Calls back whenever a request may be there, until close(). */
  onReadable(callback: () => void): void;
  close(): void;
}

export class FuseChannel implements Channel {
  readonly #fd: Fd;
  #watch: Watch | undefined = undefined;
  #closed = false;
  /** Notices that a worker is writing: until they are done the descriptor must stay ours. */
  #writing = 0;

  /** Takes over the open /dev/fuse. */
  constructor(fd: Fd) {
    this.#fd = fd;
    setNonBlocking(fd.fd);
  }

  receive(data: Uint8Array): number {
    return this.#closed ? -ERRNO.ENODEV : readFd(this.#fd.fd, data, data.length);
  }

  send(data: Uint8Array, size: number): number {
    return this.#closed ? -ERRNO.ENODEV : writeFd(this.#fd.fd, data, size);
  }

  send2(head: Uint8Array, headSize: number, body: Uint8Array): number {
    return this.#closed ? -ERRNO.ENODEV : writeFd2(this.#fd.fd, head, headSize, body);
  }

  async sendNotice(data: Uint8Array): Promise<void> {
    if (this.#closed) return;
    this.#writing++;
    // ENOENT: the kernel does not know the entry (any more), which is what was wanted.
    await writeFdAsync(this.#fd.fd, data).catch(() => undefined);
    this.#writing--;
    if (this.#closed) this.close();
  }

  onReadable(callback: () => void): void {
    this.#watch = watchReadable(this.#fd.fd, callback);
  }

  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#closed = true;
    if (this.#writing === 0) this.#fd.close();
  }
}
