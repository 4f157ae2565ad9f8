/** Records on a channel, counted. */
import type { Channel } from './channel.js';
import { encodePreamble, StreamChecksum } from './stream.js';
import type { RecordName } from './stream.js';

export class StreamWriter {
  readonly #channel: Channel;
  readonly #checksum = new StreamChecksum();
  readonly #sent: (bytes: number) => void;

  constructor(channel: Channel, sent: (bytes: number) => void) {
    this.#channel = channel;
    this.#sent = sent;
  }

  async preamble(): Promise<void> {
    const data = encodePreamble();
    await this.#channel.write([data]);
    this.#sent(data.length);
  }

  /** Settles when it is with the kernel: `parts` may be used again then. Rejects with ChannelError. */
  async record(name: RecordName, ...parts: readonly Uint8Array[]): Promise<void> {
    const header = this.#checksum.encodeHeader(name, parts);
    const filled = parts.filter(({ length }) => length > 0);
    await this.#channel.write([header, ...filled]);
    this.#sent(filled.reduce((sum, { length }) => sum + length, header.length));
  }

  json(name: RecordName, value: unknown): Promise<void> {
    return this.record(name, Buffer.from(JSON.stringify(value)));
  }
}

