/**
 * AttributeFile: one open attribute. Mirrors fs/kernfs/file.c over fs/seq_file.c: show() runs once per run of reads and
 * the rest is served from that snapshot; each write is one whole store(). One operation at a time per open file
 * (kernfs_open_file.mutex); operations that end at once take no promise and no lock.
 */
import { Errno } from '../abi/errno.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { interruptible } from '../kernfs/interrupt.js';
import type { AttributeNode } from './attribute-node.js';
import { trace, traced, tracing } from '../trace/trace.js';
import { AttributeOperation } from './operation.js';

const PAGE_SIZE = 4096;
const EMPTY = new Uint8Array(0);
const encoder = new TextEncoder();

const EPOLLIN = 0x001;
const EPOLLPRI = 0x002;
const EPOLLOUT = 0x004;
const EPOLLERR = 0x008;
const EPOLLRDNORM = 0x040;
const EPOLLWRNORM = 0x100;
const DEFAULT_POLLMASK = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;

export class AttributeFile implements OpenFile {
  readonly kind = 'attribute';
  readonly node: AttributeNode;
  /** The last show()'s bytes that no read has taken yet. */
  #rest: Uint8Array = EMPTY;
  /** Where the next byte of #rest belongs (seq_file.read_pos); reading elsewhere shows again. */
  #position = 0;
  #event = 0;
  #wakers: (() => void)[] = [];
  /** Resolves when the running operation ends; undefined when none runs. */
  #running: Promise<unknown> | undefined = undefined;

  constructor(node: AttributeNode) {
    this.node = node;
  }

  read(request: FileRequest, offset: number, size: number): Awaitable<Uint8Array> {
    return this.#exclusive(request, () => this.#read(request, offset, size));
  }

  write(request: FileRequest, _offset: number, data: Uint8Array): Awaitable<number> {
    if (this.#running === undefined) return this.#exclusive(request, () => this.#write(request, data));
    const copy = data.slice(0, PAGE_SIZE);
    return this.#exclusive(request, () => this.#write(request, copy));
  }

  poll(_request: FileRequest, wake: (() => void) | undefined): number {
    if (wake !== undefined) this.#wakers.push(wake);
    const quiet = !this.node.removed && this.#event === this.node.event;
    return quiet ? DEFAULT_POLLMASK : DEFAULT_POLLMASK | EPOLLERR | EPOLLPRI;
  }

  /** The node changed or went: whoever polls asks again. */
  wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }

  release(): void {
    this.#wakers = [];
    this.node.closed(this);
  }

  /** seq_read_iter(): position 0 starts over; another position than the expected one shows again and skips to it. */
  #read(request: FileRequest, offset: number, size: number): Awaitable<Uint8Array> {
    if (size === 0) return EMPTY;
    if (offset !== 0 && offset === this.#position) {
      if (this.#rest.length === 0) this.#checkAlive();
      return this.#take(size);
    }
    this.#rest = EMPTY;
    const fill = (content: Uint8Array): Uint8Array => {
      this.#rest = content.subarray(offset);
      this.#position = offset;
      return this.#take(size);
    };
    const shown = this.#show(request);
    return shown instanceof Promise ? shown.then(fill) : fill(shown);
  }

  #take(size: number): Uint8Array {
    const part = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(part.length);
    this.#position += part.length;
    return part;
  }

  /** sysfs_kf_seq_show() */
  #show(request: FileRequest): Awaitable<Uint8Array> {
    this.#checkAlive();
    const { attribute, owner, flavour } = this.node;
    const { show } = attribute;
    this.#event = this.node.event;
    if (show === undefined) throw new Errno(flavour.missing);
    const run = (): Awaitable<string | Uint8Array> => new AttributeOperation(this.node, request).run((operation) => show(owner, operation));
    const shown = tracing('sysfs') ? this.#traced('sysfs.show', request, run) : run();
    return shown instanceof Promise ? shown.then(page) : page(shown);
  }

  /** kernfs_fop_write_iter(): at most a page reaches the store; an empty write does not. */
  #write(request: FileRequest, data: Uint8Array): Awaitable<number> {
    this.#checkAlive();
    const { attribute, owner, flavour } = this.node;
    const { store } = attribute;
    if (data.length === 0) return 0;
    if (store === undefined) throw new Errno(flavour.missing);
    // A copy: `data` is only valid until the first await, which a store need not know.
    const taken = data.slice(0, PAGE_SIZE);
    const consumed = (count: number | undefined | void): number => Math.min(count ?? taken.length, taken.length);
    const run = (): Awaitable<number | undefined | void> => new AttributeOperation(this.node, request).run((operation) => store(owner, taken, operation));
    const stored = tracing('sysfs') ? this.#traced('sysfs.store', request, run, taken) : run();
    return stored instanceof Promise ? stored.then(consumed) : consumed(stored);
  }

  #traced<T>(name: 'sysfs.show' | 'sysfs.store', { caller }: FileRequest, run: () => Awaitable<T>, data?: Uint8Array): Awaitable<T> {
    const { path } = this.node;
    const { tid } = caller;
    const text = Buffer.from(data ?? []).toString('latin1', 0, 64);
    return traced(run, (result) => {
      if (name === 'sysfs.store') trace(name, { path, tid, data: text, result });
      else trace(name, { path, tid, result });
    });
  }

  /** kernfs_get_active() */
  #checkAlive(): void {
    if (this.node.removed) throw new Errno(this.node.flavour.removed);
  }

  /** Runs one operation after those before it. A caller that is interrupted while it waits gets EINTR and has done nothing. */
  #exclusive<T>(request: FileRequest, operation: () => Awaitable<T>): Awaitable<T> {
    if (this.#running !== undefined) return this.#afterRunning(request, operation);
    const result = operation();
    if (!(result instanceof Promise)) return result;
    const end = (): void => {
      this.#running = undefined;
    };
    this.#running = result.then(end, end);
    return result;
  }

  async #afterRunning<T>(request: FileRequest, operation: () => Awaitable<T>): Promise<T> {
    while (this.#running !== undefined) {
      await interruptible(this.#running, request.signal);
    }
    return this.#exclusive(request, operation);
  }
}

/** The content as bytes, cut at the 4095 that fit with the terminating NUL. */
function page(content: string | Uint8Array): Uint8Array {
  const bytes = typeof content === 'string' ? encoder.encode(content) : content;
  return bytes.length < PAGE_SIZE ? bytes : bytes.subarray(0, PAGE_SIZE - 1);
}
