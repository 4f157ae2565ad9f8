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

  /** `descriptors` go along; the channel must be one that passes them. They stay the caller's too. */
  async preamble(descriptors: readonly number[] = []): Promise<void> {
    const data = encodePreamble();
    if (descriptors.length === 0) await this.#channel.write([data]);
    else await this.#channel.writeWithDescriptors(data, descriptors);
    this.#sent(data.length);
  }

  /** Settles when it is with the kernel: `parts` may be used again then. Rejects with ChannelError. */
  record(name: RecordName, ...parts: readonly Uint8Array[]): Promise<void> {
    return this.#send(name, 0, parts);
  }

  /** A record of the device at that place in the configuration, as record(). */
  deviceRecord(name: 'deviceData' | 'deviceConfig', device: number, data: Uint8Array): Promise<void> {
    return this.#send(name, device, [data]);
  }

  json(name: RecordName, value: unknown): Promise<void> {
    return this.record(name, Buffer.from(JSON.stringify(value)));
  }

  async #send(name: RecordName, device: number, parts: readonly Uint8Array[]): Promise<void> {
    const header = this.#checksum.encodeHeader(name, parts, device);
    const filled = parts.filter(({ length }) => length > 0);
    await this.#channel.write([header, ...filled]);
    this.#sent(filled.reduce((sum, { length }) => sum + length, header.length));
  }
}
