/**
 * FakeCaller: a client process in memory, for unit tests. Its memory consists of mapped ranges (as mmap would leave them,
 * each readable and perhaps writable), its descriptors are real eventfds or lab files, and giveFd()
 * opens the file at the lowest free number, as open(2) does.
 */
import { Errno } from '../../src/abi/errno.js';
import type { Caller, CallerMemory, OwnedFd } from '../../src/kernfs/caller.js';
import type { FileRequest, OpenFile } from '../../src/kernfs/file.js';
import { createEventfd, drainEventfd } from '../../src/sys/eventfd.js';
import { Fd } from '../../src/sys/fd.js';
import { bind, check } from '../../src/sys/libc.js';

const cDup = bind('dup', 'int', ['int']);

interface Mapping {
  readonly start: bigint;
  readonly bytes: Uint8Array;
  readonly writable: boolean;
}

/** The client's own eventfd: a real one, so that the code under test signals it as it always does. */
export class FakeEventfd {
  readonly #fd = createEventfd();
  /** Copies that the server took and has not closed. */
  copies = 0;

  /** What read(2) does: returns the counter and sets it to 0. */
  drain(): bigint {
    return drainEventfd(this.#fd.fd);
  }

  /** A new descriptor of the same eventfd. */
  copy(): Fd {
    return new Fd(check(cDup(this.#fd.fd), 'dup'));
  }

  /** The client closes it; copies live on. */
  close(): void {
    this.#fd.close();
  }
}

/** A descriptor in the fake client. */
export type FakeFd = FakeEventfd | OpenFile | 'other';

/** The server's copy of a client's descriptor. */
export class FakeOwnedFd implements OwnedFd {
  /** Copies of all clients that nobody closed. */
  static openCount = 0;
  readonly #target: FakeFd;
  /** Only eventfds have a real descriptor. */
  readonly #copy: Fd | undefined;
  #closed = false;

  constructor(target: FakeFd) {
    this.#target = target;
    this.#copy = target instanceof FakeEventfd ? target.copy() : undefined;
    FakeOwnedFd.openCount++;
    if (target instanceof FakeEventfd) target.copies++;
  }

  get fd(): number {
    if (this.#closed || this.#copy === undefined) throw new Errno('EBADF');
    return this.#copy.fd;
  }
  get closed(): boolean {
    return this.#closed;
  }
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#copy?.close();
    FakeOwnedFd.openCount--;
    if (this.#target instanceof FakeEventfd) this.#target.copies--;
  }
}

export interface FakeCallerOptions {
  readonly pid?: number;
  readonly tid?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Slots left for giveFd(); without it there is no limit. */
  readonly slots?: number;
}

export class FakeCaller implements Caller {
  readonly tid: number;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** The process's table. */
  readonly fds = new Map<number, FakeFd>();
  readonly #mappings: Mapping[] = [];
  #slots: number;
  /** Where allocate() maps next; a hole of a page follows every mapping. */
  #nextAddress = 0x7f00_0000_0000n;

  constructor(options: FakeCallerOptions = {}) {
    this.pid = options.pid ?? 4242;
    this.tid = options.tid ?? this.pid;
    this.uid = options.uid ?? 0;
    this.gid = options.gid ?? 0;
    this.#slots = options.slots ?? Infinity;
  }

  /** Maps `bytes` (shared, not copied) at `address`; later mappings hide earlier ones. */
  map(address: bigint, bytes: Uint8Array, writable = true): void {
    this.#mappings.unshift({ start: address, bytes, writable });
  }

  /** Maps new memory of `size` bytes, or with that content, and returns its address. An access past the end faults. */
  allocate(content: number | Uint8Array, writable = true): bigint {
    const bytes = typeof content === 'number' ? new Uint8Array(content) : Uint8Array.from(content);
    const address = this.#nextAddress;
    this.#nextAddress += (BigInt(bytes.length) & ~0xfffn) + 0x2000n;
    this.map(address, bytes, writable);
    return address;
  }

  read(address: bigint, length: number): Uint8Array {
    const result = new Uint8Array(length);
    this.#walk(address, length, false, (bytes, done) => {
      result.set(bytes, done);
    });
    return result;
  }

  write(address: bigint, data: Uint8Array): void {
    this.#walk(address, data.length, true, (bytes, done) => {
      bytes.set(data.subarray(done, done + bytes.length));
    });
  }

  memory(): CallerMemory {
    return this;
  }

  /** A new descriptor in the process, at the lowest free number from 3 on. */
  install(target: FakeFd): number {
    let fd = 3;
    while (this.fds.has(fd)) fd++;
    this.fds.set(fd, target);
    return fd;
  }

  /** A new eventfd and its number. */
  eventfd(): { readonly fd: number; readonly eventfd: FakeEventfd } {
    const eventfd = new FakeEventfd();
    return { fd: this.install(eventfd), eventfd };
  }

  /** close(2); releases a lab file when no other number of this process refers to it. Throws EBADF. */
  async close(fd: number): Promise<void> {
    const target = this.#target(fd);
    this.fds.delete(fd);
    if (target === 'other' || [...this.fds.values()].includes(target)) return;
    if (target instanceof FakeEventfd) {
      target.close();
      return;
    }
    if (Number.isFinite(this.#slots)) this.#slots++;
    await target.release();
  }

  takeFd(fd: number): OwnedFd {
    return new FakeOwnedFd(this.#target(fd));
  }

  isEventfd(fd: number): boolean {
    return this.#target(fd) instanceof FakeEventfd;
  }

  giveFd(file: OpenFile): number {
    if (this.#slots <= 0) throw new Errno('EMFILE');
    this.#slots--;
    return this.install(file);
  }

  fileOf(fd: number): Promise<OpenFile | undefined> {
    return Promise.resolve().then(() => {
      const target = this.#target(fd);
      return target === 'other' || target instanceof FakeEventfd ? undefined : target;
    });
  }

  /** The lab file at a number, as a test knows it is one. */
  file(fd: number): OpenFile {
    const target = this.#target(fd);
    if (target === 'other' || target instanceof FakeEventfd) throw new Error(`descriptor ${fd} is no lab file`);
    return target;
  }

  #target(fd: number): FakeFd {
    const target = this.fds.get(fd);
    if (target === undefined) throw new Errno('EBADF');
    return target;
  }

  #walk(address: bigint, length: number, write: boolean, visit: (bytes: Uint8Array, done: number) => void): void {
    for (let done = 0; done < length; ) {
      const at = address + BigInt(done);
      const mapping = this.#mappings.find(({ start, bytes }) => at >= start && at < start + BigInt(bytes.length));
      if (mapping === undefined || (write && !mapping.writable)) throw new Errno('EFAULT');
      const offset = Number(at - mapping.start);
      const part = mapping.bytes.subarray(offset, offset + length - done);
      visit(part, done);
      done += part.length;
    }
  }
}

export interface FakeRequest extends FileRequest {
  readonly caller: FakeCaller;
  /** FUSE_INTERRUPT. */
  interrupt(): void;
}

/** A request of `caller` on a file with these open flags (default O_RDWR). */
export function fakeRequest(caller: FakeCaller = new FakeCaller(), flags = 2): FakeRequest {
  const controller = new AbortController();
  return {
    caller,
    flags,
    signal: controller.signal,
    interrupt: () => {
      controller.abort();
    },
  };
}
