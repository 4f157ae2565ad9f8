/**
 * The migration stream: our own format, which no QEMU reads.
 *
 * A preamble, then records: a header and a payload. Every checksum includes all bytes that came before it in the same direction,
 * so a record that is missing, doubled or out of order is found as a changed one is. Whatever is not known is refused. The
 * receiving side answers with records of its own: it says when it has everything, and the sender lets it start only then.
 */
import { createCipheriv } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { bytes, struct, u32 } from '../../abi/layout.js';
import type { StructValue } from '../../abi/layout.js';

const MAGIC = Buffer.from('mdevsimM');
export const STREAM_VERSION = 3;
/** Largest payload, bytes: what the receiver sets aside. */
export const MAX_PAYLOAD = 1 << 20;
const CHECKSUM_SIZE = 16;
const NO_KEY = new Uint8Array(32);
const NO_NONCE = new Uint8Array(12);
/** Of the text that is to be encrypted. */
const NOTHING = { plaintextLength: 0 };

const preambleStruct = struct('mdevsim_stream', { magic: bytes(8), version: u32, reserved: u32 });
const headerStruct = struct('mdevsim_record', {
  type: u32, length: u32,
  /** Its place in the configuration; 0 in records that are of no device. */
  device: u32,
  checksum: bytes(CHECKSUM_SIZE), header_checksum: u32,
});
export const PREAMBLE_SIZE = preambleStruct.size;
export const HEADER_SIZE = headerStruct.size;

export const RECORDS = {
  /** JSON: what both sides must agree on. */
  configuration: 1,
  /** ramRecordStruct, ramRunStruct for each of the runs of zero pages and then of the other pages, then those pages. */
  ram: 2,
  /** Device state. */
  deviceData: 3,
  /** Config space. */
  deviceConfig: 4,
  /** JSON: the source's run state. */
  runState: 5,
  /** The source has stopped. */
  switchoverStart: 6,
  /** Nothing follows but commit. */
  end: 7,
  /** Take over. */
  commit: 8,
  /** To the source: everything has been loaded. */
  ready: 16,
  /** To the source: the virtual machine is the receiver's now. */
  started: 17,
  /** To the source: text of an error; the receiver has given up and never starts the machine. */
  refused: 18,
  /** To the source: the token that came with the first bytes is here, and decides who has the machine. */
  token: 19,
} as const;
export type RecordName = keyof typeof RECORDS;
const NAMES = new Map<number, RecordName>(Object.entries(RECORDS).map(([name, type]) => [type, name as RecordName]));

/** `configuration`: bytes of RAM, the devices' migration protocol, a section id per device, null for one that does not migrate. */
export interface StreamConfiguration {
  readonly ram: number;
  readonly protocol: string;
  readonly devices: readonly (string | null)[];
}

/** Head of the payload of `ram`. */
export const ramRecordStruct = struct('mdevsim_ram_record', { zero_runs: u32, runs: u32 });
export const ramRunStruct = struct('mdevsim_ram_run', { page: u32, count: u32 });

export class StreamError extends Error {
  override readonly name = 'StreamError';
}

export function encodePreamble(): Uint8Array {
  return preambleStruct.encode({ magic: MAGIC, version: STREAM_VERSION });
}

/** Throws StreamError. */
export function checkPreamble(data: Uint8Array): void {
  const { magic, version, reserved } = preambleStruct.decode(data);
  if (!MAGIC.equals(magic)) throw new StreamError('Not a migration stream');
  if (version !== STREAM_VERSION || reserved !== 0) throw new StreamError('Unsupported migration stream version');
}

export type RecordHeader = Pick<StructValue<typeof headerStruct>, 'length' | 'device' | 'checksum'> & {
  readonly name: RecordName;
};

/** The checksums of one direction of a stream, running on. */
export class StreamChecksum {
  /** Of the last record. */
  #last: Uint8Array = new Uint8Array(CHECKSUM_SIZE);
  /** What comes before the payload of the record that is being received. */
  #front: Uint8Array = new Uint8Array(0);

  /** The header of a record with that payload, which may be in several parts. `device`: its place in the configuration. */
  encodeHeader(name: RecordName, parts: readonly Uint8Array[], device = 0): Uint8Array {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length > MAX_PAYLOAD) throw new RangeError(`a record of ${length} bytes`);
    const header = headerStruct.encode({ type: RECORDS[name], length, device });
    this.#last = checksum(this.#last, header.subarray(0, headerStruct.fields.checksum.offset), ...parts);
    headerStruct.patch(header, { checksum: this.#last });
    headerStruct.patch(header, { header_checksum: headerChecksum(header) });
    return header;
  }

  /** Throws StreamError for a header that is damaged or unknown. */
  decodeHeader(data: Uint8Array): RecordHeader {
    const { type, length, device, checksum: expected, header_checksum: own } = headerStruct.decode(data);
    if (headerChecksum(data) !== own) throw new StreamError('Record header is damaged');
    const name = NAMES.get(type);
    if (name === undefined) throw new StreamError(`Unknown record type ${type}`);
    if (length > MAX_PAYLOAD) throw new StreamError(`Record of ${length} bytes`);
    this.#front = data.slice(0, headerStruct.fields.checksum.offset);
    return { name, length, device, checksum: expected };
  }

  /** After decodeHeader(), with that record's payload. Throws StreamError. */
  check(header: RecordHeader, payload: Uint8Array): void {
    this.#last = checksum(this.#last, this.#front, payload);
    if (Buffer.compare(this.#last, header.checksum) !== 0) throw new StreamError(`Record ${header.name} is damaged`);
  }
}

/**
 * Poly1305 of all parts, one after the other: 16 bytes, the value of a polynomial over a field of 2^130 - 5 elements. Records
 * that differ by accident have the same one with a chance of less than 1 in 2^80; and it is faster than Node's CRC-32. Node has
 * it as the tag of a cipher; nothing is encrypted or secret here, so key and nonce are zeros.
 */
function checksum(...parts: readonly Uint8Array[]): Uint8Array {
  const cipher = createCipheriv('chacha20-poly1305', NO_KEY, NO_NONCE, { authTagLength: CHECKSUM_SIZE });
  for (const part of parts) cipher.setAAD(part, NOTHING);
  cipher.final();
  return cipher.getAuthTag();
}

/** By itself, so that a length is believed before that many bytes were waited for. */
function headerChecksum(header: Uint8Array): number {
  return crc32(header.subarray(0, headerStruct.fields.header_checksum.offset));
}
