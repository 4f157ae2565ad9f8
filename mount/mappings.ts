/**
 * Mappings: keeps the serving thread away from memory of a client that is a mapped file of this lab. FUSE lets files be mapped
 * privately; reading such a page on behalf of a request faults it in, which sends us a READ that nobody would answer.
 *
 * /proc/<tid>/maps is read for the first access to a mapping, and then what was seen holds for LIFETIME: a client that passes the
 * same stack or heap again costs a comparison. (A client that replaces a mapping in between harms itself and this lab.)
 */
import { Errno } from '../src/abi/errno.js';
import { mappingAt } from '../src/sys/process.js';
import type { Mapping } from '../src/sys/process.js';

/** ms */
const LIFETIME = 1000;
/** Most clients that are remembered. */
const CLIENTS = 64;
/** Most mappings of one client that are remembered. */
const MAPPINGS = 8;

interface Seen extends Mapping {
  /** performance.now() */
  readonly until: number;
}

export class Mappings {
  readonly #isOurs: (ino: number) => boolean;
  readonly #lookup: (tid: number, address: number) => Mapping | undefined;
  readonly #seen = new Map<number, Seen[]>();

  /** `isOurs` tells the lab's inode numbers, as /proc shows them, from others. */
  constructor(isOurs: (ino: number) => boolean, lookup: (tid: number, address: number) => Mapping | undefined = mappingAt) {
    this.#isOurs = isOurs;
    this.#lookup = lookup;
  }

  /** Throws EFAULT when any byte of the range lies in a mapped file of this lab. What is not mapped at all is left to others. */
  check(tid: number, address: bigint, length: number): void {
    const start = Number(address);
    const end = start + length;
    if (start < 0 || !Number.isSafeInteger(end)) return;
    const now = performance.now();
    for (let at = start; at < end;) {
      const mapping = this.#remembered(tid, at, now) ?? this.#look(tid, at, now);
      if (mapping === undefined) return;
      if (this.#isOurs(mapping.ino)) throw new Errno('EFAULT', 'the memory is a mapped file of this lab');
      at = mapping.end;
    }
  }

  #remembered(tid: number, address: number, now: number): Seen | undefined {
    const seen = this.#seen.get(tid);
    if (seen === undefined) return undefined;
    for (const mapping of seen) {
      if (address >= mapping.start && address < mapping.end && now < mapping.until) return mapping;
    }
    return undefined;
  }

  #look(tid: number, address: number, now: number): Mapping | undefined {
    const mapping = this.#lookup(tid, address);
    if (mapping === undefined) return undefined;
    if (this.#seen.size >= CLIENTS && !this.#seen.has(tid)) this.#seen.clear();
    const others = (this.#seen.get(tid) ?? []).filter(({ start, until }) => start !== mapping.start && now < until);
    this.#seen.set(tid, [{ ...mapping, until: now + LIFETIME }, ...others].slice(0, MAPPINGS));
    return mapping;
  }
}
