/** Records from a channel, checked. */
import type { Fd } from '../../sys/fd.js';
import { bigBuffer } from '../../sys/big-buffer.js';
import type { Channel } from './channel.js';
import { checkPreamble, HEADER_SIZE, MAX_PAYLOAD, PREAMBLE_SIZE, StreamChecksum, StreamError } from './stream.js';
import type { RecordName } from './stream.js';

/** Larger payloads have a buffer that is made by reserve(), or when the first one comes, bytes. */
const SMALL = 64 << 10;

export interface StreamRecord {
  readonly name: RecordName;
  /** Its place in the stream's configuration; 0 in records that are of no device. */
  readonly device: number;
  /** Valid until the next record is read. A large one begins at a page. */
  readonly payload: Uint8Array;
}

export class StreamReader {
  readonly #channel: Channel;
  readonly #checksum = new StreamChecksum();
  readonly #header = new Uint8Array(HEADER_SIZE);
  #buffer: Uint8Array = new Uint8Array(SMALL);

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Settles with the descriptors that came along, the caller's. Rejects with StreamError, ChannelError. */
  async preamble(): Promise<Fd[]> {
    const data = new Uint8Array(PREAMBLE_SIZE);
    const descriptors: Fd[] = [];
    try {
      await this.#channel.readWithDescriptors(data, descriptors);
      checkPreamble(data);
    } catch (error) {
      for (const fd of descriptors) fd.close();
      throw error;
    }
    return descriptors;
  }

  /** Makes room for the largest payload now. By the first one that needs it, the source's machine may stand still. */
  reserve(): void {
    // Touched, because that is when the kernel looks for the memory: for a huge page that takes up to milliseconds.
    if (this.#buffer.length < MAX_PAYLOAD) this.#buffer = bigBuffer(MAX_PAYLOAD).fill(0);
  }

  /** Rejects with StreamError, ChannelError. */
  async next(): Promise<StreamRecord> {
    await this.#channel.read(this.#header);
    const header = this.#checksum.decodeHeader(this.#header);
    if (header.length > this.#buffer.length) this.reserve();
    const payload = this.#buffer.subarray(0, header.length);
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
