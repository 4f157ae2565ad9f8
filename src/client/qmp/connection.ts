/**
 * One client's connection: text both ways, and the descriptors that come along with it, which Node's sockets would lose.
 *
 * Descriptors wait until a command takes them. As in QEMU's chardev/char-socket.c: tcp_chr_recv(), those of a later message close
 * those that nobody took, and so does the end of the connection.
 */
import { ERRNO } from '../../abi/errno.js';
import type { Fd } from '../../sys/fd.js';
import { setNonBlocking, writeFd } from '../../sys/io.js';
import { receive } from '../../sys/socket.js';
import { Readiness } from '../../sys/watch.js';

/** How long a client has to read what is left when the connection ends, ms. */
const FAREWELL = 1000;

export interface ConnectionHandlers {
  /** Returns how many of the bytes were taken. The rest comes again in another turn of the event loop, when nothing is paused. */
  readonly data: (bytes: Buffer) => number;
  /** Once. */
  readonly closed: () => void;
}

/** Received into, for all connections; handlers get copies. */
const input = Buffer.allocUnsafe(64 << 10);

export class QmpConnection {
  readonly #fd: Fd;
  readonly #readiness: Readiness;
  readonly #handlers: ConnectionHandlers;
  #received: readonly Fd[] = [];
  #resume: (() => void) | undefined;
  /** Received, and not taken yet. */
  #rest: Buffer = Buffer.alloc(0);
  #paused = false;
  #ending = false;
  readonly #output: Buffer[] = [];
  #outputSize = 0;
  /** Settles when no output is left. */
  #sent: Promise<void> = Promise.resolve();

  /** Takes a connected socket over. */
  constructor(socket: Fd, handlers: ConnectionHandlers) {
    this.#fd = socket;
    this.#handlers = handlers;
    setNonBlocking(socket.fd);
    this.#readiness = new Readiness(socket.fd);
    void this.#read();
  }

  get closed(): boolean {
    return this.#fd.closed;
  }

  /** Bytes that the client has not taken yet. */
  get outputSize(): number {
    return this.#outputSize;
  }

  /** Descriptors came that no command has taken yet. */
  get hasDescriptor(): boolean {
    return this.#received.length > 0;
  }

  /** The first of the descriptors that wait, the caller's from now on; the others are closed. */
  takeDescriptor(): Fd | undefined {
    const [first, ...others] = this.#received;
    this.#received = [];
    for (const fd of others) fd.close();
    return first;
  }

  write(text: string): void {
    if (this.closed || this.#ending) return;
    const bytes = Buffer.from(text);
    this.#output.push(bytes);
    this.#outputSize += bytes.length;
    if (this.#output.length === 1) this.#sent = this.#send();
  }

  /** Whether nothing is read for now. */
  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.#wake();
  }

  /** Closes once the client has taken what was written, but does not wait for one that never does. */
  async end(): Promise<void> {
    this.#ending = true;
    const timer = setTimeout(() => this.close(), FAREWELL);
    await this.#sent;
    clearTimeout(timer);
    this.close();
  }

  /** At once. */
  close(): void {
    if (this.closed) return;
    this.takeDescriptor()?.close();
    this.#readiness.close();
    this.#fd.close();
    this.#wake();
    this.#handlers.closed();
  }

  #wake(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  async #read(): Promise<void> {
    // Whoever makes the connection has it, and speaks first.
    await Promise.resolve();
    while (!this.closed && !this.#ending) {
      if (this.#paused) {
        await new Promise<void>((resolve) => { this.#resume = resolve; });
        continue;
      }
      if (this.#rest.length > 0) {
        // Everybody has a turn, however much one client has sent.
        await new Promise(setImmediate);
        this.#give(this.#rest);
        continue;
      }
      const { size, descriptors } = receive(this.#fd.fd, input);
      if (descriptors.length > 0) {
        this.takeDescriptor()?.close();
        this.#received = descriptors;
      }
      if (size > 0) this.#give(Buffer.from(input.subarray(0, size)));
      else if (size === 0) return this.end();
      else if (size !== -ERRNO.EAGAIN && size !== -ERRNO.EINTR) return this.close();
      if (this.#rest.length === 0) await this.#readiness.wait('readable');
    }
  }

  #give(bytes: Buffer): void {
    this.#rest = bytes.subarray(this.#handlers.data(bytes));
  }

  async #send(): Promise<void> {
    for (let first = this.#output[0]; first !== undefined && !this.closed; first = this.#output[0]) {
      const count = writeFd(this.#fd.fd, first, first.length);
      if (count >= 0) {
        this.#outputSize -= count;
        if (count < first.length) this.#output[0] = first.subarray(count);
        else this.#output.shift();
      } else if (count === -ERRNO.EAGAIN) await this.#readiness.wait('writable');
      else if (count !== -ERRNO.EINTR) this.close();
    }
  }
}
