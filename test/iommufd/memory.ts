/** Client memory for tests: pages that spring into being at the first write, inside what was declared mapped. */
import { Errno } from '../../src/abi/errno.js';
import type { CallerMemory } from '../../src/kernfs/caller.js';

export class SparseMemory implements CallerMemory {
  readonly #pages = new Map<bigint, Uint8Array>();
  readonly #limit: bigint;
  /** Bytes handed to write(). */
  written = 0;

  /** Addresses 0x1000 up to `limit` exist. */
  constructor(limit = 1n << 47n) {
    this.#limit = limit;
  }

  read(address: bigint, length: number): Uint8Array {
    const data = new Uint8Array(length);
    this.#each(address, length, (page, at, offset, size) => {
      const bytes = this.#pages.get(page);
      if (bytes !== undefined) data.set(bytes.subarray(offset, offset + size), at);
    });
    return data;
  }

  write(address: bigint, data: Uint8Array): void {
    this.written += data.length;
    this.#each(address, data.length, (page, at, offset, size) => {
      const part = data.subarray(at, at + size);
      let bytes = this.#pages.get(page);
      if (bytes === undefined) {
        if (part.every((byte) => byte === 0)) return;
        bytes = new Uint8Array(4096);
        this.#pages.set(page, bytes);
      }
      bytes.set(part, offset);
    });
  }

  #each(address: bigint, length: number, visit: (page: bigint, at: number, offset: number, size: number) => void): void {
    if (address < 0x1000n || address + BigInt(length) > this.#limit) throw new Errno('EFAULT');
    for (let at = 0; at < length;) {
      const here = address + BigInt(at);
      const offset = Number(here & 0xfffn);
      const size = Math.min(length - at, 4096 - offset);
      visit(here >> 12n, at, offset, size);
      at += size;
    }
  }
}
