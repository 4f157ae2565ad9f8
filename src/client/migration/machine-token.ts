/**
 * Who has the machine, decided by the kernel: an eventfd of one count that both sides of a migration hold. Whoever reads it has the
 * machine, and the other one can't have it any more, whatever becomes of their connection. So the handover needs no last message
 * that might be lost, where the connection can pass descriptors at all.
 */
import { readlinkSync } from 'node:fs';
import { createEventfd, drainSharedEventfd } from '../../sys/eventfd.js';
import type { Fd } from '../../sys/fd.js';

export class MachineToken {
  readonly #fd: Fd;

  private constructor(fd: Fd) {
    this.#fd = fd;
  }

  /** The source's. Throws EMFILE. */
  static create(): MachineToken {
    return new MachineToken(createEventfd(1));
  }

  /** The destination's, out of what came with the stream: takes all of it over. Undefined where that is anything else. */
  static from(descriptors: readonly Fd[]): MachineToken | undefined {
    const [first] = descriptors;
    if (first !== undefined && descriptors.length === 1 && isTokenLike(first.fd)) return new MachineToken(first);
    for (const fd of descriptors) fd.close();
    return undefined;
  }

  /** To be passed on. */
  get fd(): number {
    return this.#fd.fd;
  }

  /** Whether the machine is the caller's now: true once, in one of the processes. */
  take(): boolean {
    return drainSharedEventfd(this.fd) > 0n;
  }

  close(): void {
    this.#fd.close();
  }
}

function isTokenLike(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]';
  } catch {
    // No /proc: then we do without.
    return false;
  }
}
