/** What the receiver of a migration answers. */
import type { Channel } from './channel.js';
import { StreamError } from './stream.js';
import { StreamReader } from './stream-reader.js';

export class ReturnPath {
  /** Everything has been loaded. Rejects when the connection ends before. */
  readonly ready: Promise<void>;
  /** The receiver has taken over. */
  readonly started: Promise<void>;
  /** The receiver has the token, and starts nothing without taking it. Known for good when it is `ready`. */
  hasToken = false;
  /** `commit` is on its way: before that nobody can have started anything. */
  committed = false;
  /** Why the receiver has given up, for good. */
  refusal: string | undefined;
  /** What `started` has rejected with, if it has: nothing more will come. */
  lost: Error | undefined;
  readonly #channel: Channel;
  readonly #reader: StreamReader;

  constructor(channel: Channel) {
    this.#channel = channel;
    this.#reader = new StreamReader(channel);
    this.ready = this.#expect('ready');
    this.started = this.ready.then(() => this.#expect('started'));
    // Who waits is told; before that nobody is.
    this.ready.catch(() => undefined);
    this.started.catch((error: Error) => { this.lost = error; });
  }

  async #expect(wanted: 'ready' | 'started'): Promise<void> {
    const { name, payload } = await this.#reader.next();
    if (name === wanted && (wanted === 'ready' || this.committed)) return;
    if (name === 'refused') {
      this.refusal = firstLine(payload);
      this.#channel.shutdown();
      throw new StreamError(this.refusal);
    }
    if (name !== 'token' || wanted !== 'ready' || this.hasToken) throw new StreamError(`Unexpected record ${name}`);
    this.hasToken = true;
    await this.#expect(wanted);
  }
}

/** Bytes of a refusal that are passed on: it becomes an error's text, and a line of the log. */
const REFUSAL = 1024;

const firstLine = (payload: Uint8Array): string => Buffer.from(payload.subarray(0, REFUSAL)).toString().split('\n', 1)[0] ?? '';
