/** Records from a channel, checked. */
import type { Channel } from './channel.js';
import { checkPreamble, HEADER_SIZE, MAX_PAYLOAD, PREAMBLE_SIZE, StreamChecksum, StreamError } from './stream.js';
import type { RecordName } from './stream.js';

export interface StreamRecord {
  readonly name: RecordName;
  /** Valid until the next record is read. */
  readonly payload: Uint8Array;
}

export class StreamReader {
  readonly #channel: Channel;
  readonly #checksum = new StreamChecksum();
  readonly #header = new Uint8Array(HEADER_SIZE);
  #buffer = new Uint8Array(64 << 10);

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
    if (header.length > this.#buffer.length) this.#buffer = new Uint8Array(header.length > 1 << 20 ? MAX_PAYLOAD : 1 << 20);
    const payload = this.#buffer.subarray(0, header.length);
    await this.#channel.read(payload);
    this.#checksum.check(header, payload);
    return { name: header.name, payload };
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
