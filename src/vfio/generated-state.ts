/**
 * Generated device state: bytes that both ends can make, so that a stream of gigabytes needs no memory.
 *
 * The content at offset o is PATTERN[o mod PERIOD]. The period is a prime number of pages, so that an exchange of blocks of a usual
 * size is noticed, and so that reads of whole pages begin at a page of ours: the kernel then copies pages, not pieces of two.
 * In a stream the bytes are in records, between the driver's header and the rest of its state: struct generated_record, then
 * `length` bytes of content from `offset` on; a record of length 0 ends them. A device without generated state has no records at
 * all: its stream is the driver's own, byte for byte.
 */
import { struct, u64 } from '../abi/layout.js';
import { bigBuffer } from '../sys/big-buffer.js';

/** "mdevsim1" read as a little-endian number. */
const GENERATED_RECORD_MAGIC = 0x316d_6973_7665_646dn;
export const generated_record = struct('generated_record', { magic: u64, offset: u64, length: u64 });

/** Largest generated state, bytes. */
export const GENERATED_STATE_MAX = 4 * 2 ** 30;

/** Bytes; with RUN_MAX just below 2 MiB, one huge page. */
const PERIOD = 251 * 4096;
/** Longest run that can be had as one view, bytes; FUSE's largest read. */
const RUN_MAX = 1 << 20;

let pattern: Uint8Array | undefined;

function getPattern(): Uint8Array {
  if (pattern !== undefined) return pattern;
  const made = bigBuffer(PERIOD + RUN_MAX);
  let x = 0x9e3779b9;
  for (let i = 0; i < PERIOD; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    made[i] = x & 0xff;
  }
  for (let at = PERIOD; at < made.length;) {
    const n = Math.min(PERIOD, made.length - at);
    made.copyWithin(at, 0, n);
    at += n;
  }
  return (pattern = made);
}

/** Makes the content, which takes some milliseconds: for who knows that it will be read, before somebody waits for it. */
export function prepareGenerated(): void {
  getPattern();
}

/** The content from `offset` on: at most `size` bytes and at most 1 MiB. A view of memory that never changes. */
export function generatedBytes(offset: number, size: number): Uint8Array {
  const start = offset % PERIOD;
  return getPattern().subarray(start, start + Math.min(size, RUN_MAX));
}

/** Whether `data` is the content from `offset` on. */
export function isGenerated(offset: number, data: Uint8Array): boolean {
  for (let at = 0; at < data.length; at += RUN_MAX) {
    const part = data.subarray(at, at + RUN_MAX);
    if (Buffer.compare(part, generatedBytes(offset + at, part.length)) !== 0) return false;
  }
  return true;
}

export function encodeRecord(offset: number, length: number): Uint8Array {
  return generated_record.encode({ magic: GENERATED_RECORD_MAGIC, offset: BigInt(offset), length: BigInt(length) });
}

const MAGIC_BYTES = encodeRecord(0, 0).subarray(0, 8);

/** Whether `data` (1 byte or more) can be the beginning of a record. */
export function mayBeRecord(data: Uint8Array): boolean {
  const n = Math.min(data.length, MAGIC_BYTES.length);
  for (let i = 0; i < n; i++) if (data[i] !== MAGIC_BYTES[i]) return false;
  return true;
}

/** A complete record header; undefined where its numbers make no sense. */
export function decodeRecord(data: Uint8Array): { offset: number; length: number } | undefined {
  const { magic, offset, length } = generated_record.decode(data);
  if (magic !== GENERATED_RECORD_MAGIC || offset + length > BigInt(GENERATED_STATE_MAX)) return undefined;
  return { offset: Number(offset), length: Number(length) };
}
