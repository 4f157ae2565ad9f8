/**
 * The migration stream: our own format, which no QEMU reads.
 *
 * A preamble, then records: a header and a payload. Every checksum includes all bytes that came before it in the same direction,
 * so a record that is missing, doubled or out of order is found as a changed one is. Whatever is not known is refused. The
 * receiving side answers with records of its own: it says when it has everything, and the sender lets it start only then.
 */
import { crc32 } from 'node:zlib';
import { bytes, struct, u32 } from '../../abi/layout.js';
import type { StructValue } from '../../abi/layout.js';

const MAGIC = Buffer.from('mdevsimM');
export const STREAM_VERSION = 1;
/** Largest payload, bytes: what the receiver sets aside. */
export const MAX_PAYLOAD = 4 << 20;

const preambleStruct = struct('mdevsim_stream', { magic: bytes(8), version: u32, reserved: u32 });
const headerStruct = struct('mdevsim_record', { type: u32, length: u32, checksum: u32, header_checksum: u32 });
export const PREAMBLE_SIZE = preambleStruct.size;
export const HEADER_SIZE = headerStruct.size;

export const RECORDS = {
  /** JSON: what both sides must agree on. */
  configuration: 1,
  /** ramRecordStruct, ramRunStruct for each of the runs of zero pages and then of the other pages, then those pages. */
  ram: 2,
  /** deviceRecordStruct, then device state. */
  deviceData: 3,
  /** deviceRecordStruct, then config space. */
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
} as const;
export type RecordName = keyof typeof RECORDS;
const NAMES = new Map<number, RecordName>(Object.entries(RECORDS).map(([name, type]) => [type, name as RecordName]));

/** `configuration`: bytes of RAM, and a section id per device, null for one that does not migrate. */
export interface StreamConfiguration {
  readonly ram: number;
  readonly devices: readonly (string | null)[];
}

/** Heads of payloads. */
export const ramRecordStruct = struct('mdevsim_ram_record', { zero_runs: u32, runs: u32 });
export const ramRunStruct = struct('mdevsim_ram_run', { page: u32, count: u32 });
export const deviceRecordStruct = struct('mdevsim_device_record', { device: u32, reserved: u32 });

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

export type RecordHeader = Pick<StructValue<typeof headerStruct>, 'length' | 'checksum'> & { readonly name: RecordName };

/** The checksums of one direction of a stream, running on. */
export class StreamChecksum {
  #value = 0;

  /** The header of a record with that payload, which may be in several parts. */
  encodeHeader(name: RecordName, parts: readonly Uint8Array[]): Uint8Array {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length > MAX_PAYLOAD) throw new RangeError(`a record of ${length} bytes`);
    const start = headerStruct.encode({ type: RECORDS[name], length });
    let value = crc32(start.subarray(0, headerStruct.fields.checksum.offset), this.#value);
    for (const part of parts) value = crc32(part, value);
    headerStruct.patch(start, { checksum: value });
    headerStruct.patch(start, { header_checksum: crc32(start.subarray(0, headerStruct.fields.header_checksum.offset)) });
    this.#value = value;
    return start;
  }

  /** Throws StreamError for a header that is damaged or unknown. */
  decodeHeader(data: Uint8Array): RecordHeader {
    const { type, length, checksum, header_checksum: own } = headerStruct.decode(data);
    if (crc32(data.subarray(0, headerStruct.fields.header_checksum.offset)) !== own) {
      throw new StreamError('Record header is damaged');
    }
    const name = NAMES.get(type);
    if (name === undefined) throw new StreamError(`Unknown record type ${type}`);
    if (length > MAX_PAYLOAD) throw new StreamError(`Record of ${length} bytes`);
    this.#value = crc32(data.subarray(0, headerStruct.fields.checksum.offset), this.#value);
    return { name, length, checksum };
  }

  /** After decodeHeader(), with that record's payload. Throws StreamError. */
  check(header: RecordHeader, payload: Uint8Array): void {
    this.#value = crc32(payload, this.#value);
    if (this.#value !== header.checksum) throw new StreamError(`Record ${header.name} is damaged`);
  }
}
