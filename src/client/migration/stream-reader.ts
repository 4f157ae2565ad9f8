/** Records from a channel, checked. */
import type { Channel } from './channel.js';
import { checkPreamble, HEADER_SIZE, MAX_PAYLOAD, PREAMBLE_SIZE, StreamChecksum, StreamError } from './stream.js';
import type { RecordName } from './stream.js';

export interface StreamRecord {
  readonly name: RecordName;
  /** Valid until the record after the next one is read. */
  readonly payload: Uint8Array;
}

export class StreamReader {
  readonly #channel: Channel;
  readonly #checksum = new StreamChecksum();
  readonly #header = new Uint8Array(HEADER_SIZE);
  readonly #buffers = [new Uint8Array(64 << 10), new Uint8Array(64 << 10)];
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
    this.#turn ^= 1;
    let buffer = this.#buffers[this.#turn];
    if (buffer === undefined || header.length > buffer.length) {
      buffer = new Uint8Array(header.length > 1 << 20 ? MAX_PAYLOAD : 1 << 20);
      this.#buffers[this.#turn] = buffer;
    }
    const payload = buffer.subarray(0, header.length);
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
