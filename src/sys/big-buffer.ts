/** Memory that the kernel copies from at best speed: page-aligned, and in a huge page where the machine gives one. */
import { addressOf, bind } from './libc.js';

const cMadvise = bind('madvise', 'int', ['ulong', 'size', 'int']);
const MADV_HUGEPAGE = 14;
/** Bytes; a huge page of x86-64 and of arm64 with 4 KiB pages. */
const HUGE_PAGE = 2 << 20;

/** `size` zero bytes on a 2 MiB boundary. Huge pages are a wish: without them nothing else changes. */
export function bigBuffer(size: number): Uint8Array {
  const whole = Math.ceil(size / HUGE_PAGE) * HUGE_PAGE;
  const bytes = new Uint8Array(whole + HUGE_PAGE);
  const address = addressOf(bytes);
  const start = Number(-address & BigInt(HUGE_PAGE - 1));
  // Before the first touch: afterwards the pages are small ones already.
  cMadvise(address + BigInt(start), whole, MADV_HUGEPAGE);
  return bytes.subarray(start, start + size);
}
