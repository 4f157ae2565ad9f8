/** Records from a channel, checked. */
import { bigBuffer } from '../../sys/big-buffer.js';
import type { Channel } from './channel.js';
import { checkPreamble, HEADER_SIZE, MAX_PAYLOAD, PREAMBLE_SIZE, StreamChecksum, StreamError } from './stream.js';
import type { RecordName } from './stream.js';

/** Larger payloads have buffers that are made when the first one comes, bytes. */
const SMALL = 64 << 10;

export interface StreamRecord {
  readonly name: RecordName;
  /** Its place in the stream's configuration; 0 in records that are of no device. */
  readonly device: number;
  /** Valid until the record after the next one is read. Begins at a page. */
  readonly payload: Uint8Array;
}

export class StreamReader {
  readonly #channel: Channel;
  readonly #checksum = new StreamChecksum();
  readonly #header = new Uint8Array(HEADER_SIZE);
  #buffers: Uint8Array = new Uint8Array(2 * SMALL);
  #turn = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Rejects with StreamError, ChannelError. */
  async preamble(): Promise<void> {
    const data = new Uint8Array(PREAMBLE_SIZE);
    await this.#channel.read(data);
    checkPreamble(data);
  }

  /** Rejects with StreamError, ChannelError. */
  async next(): Promise<StreamRecord> {
    await this.#channel.read(this.#header);
    const header = this.#checksum.decodeHeader(this.#header);
    // The record before is still in use: it keeps the buffers that it was in.
    if (header.length > this.#buffers.length / 2) this.#buffers = bigBuffer(2 * MAX_PAYLOAD);
    this.#turn ^= 1;
    const start = this.#turn * this.#buffers.length / 2;
    const payload = this.#buffers.subarray(start, start + header.length);
    await this.#channel.read(payload);
    this.#checksum.check(header, payload);
    return { name: header.name, device: header.device, payload };
  }
}

/** Throws StreamError. */
export function parseJson<T>(payload: Uint8Array): T {
  try {
    return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString()) as T;
  } catch {
    throw new StreamError('Record is no JSON');
  }
}
