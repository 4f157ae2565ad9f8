/** What the receiver of a migration answers. */
import type { Channel } from './channel.js';
import { StreamError } from './stream.js';
import { StreamReader } from './stream-reader.js';

export class ReturnPath {
  /** Everything has been loaded. Rejects when the connection ends before. */
  readonly ready: Promise<void>;
  /** The receiver has taken over. */
  readonly started: Promise<void>;
  /** Why the receiver has given up, for good. */
  refusal: string | undefined;
  /** What `started` has rejected with, if it has: nothing more will come. */
  lost: Error | undefined;

  constructor(channel: Channel) {
    const reader = new StreamReader(channel);
    const expect = async (wanted: 'ready' | 'started'): Promise<void> => {
      const { name, payload } = await reader.next();
      if (name === 'refused') {
        this.refusal = Buffer.from(payload).toString();
        channel.shutdown();
        throw new StreamError(this.refusal);
      }
      if (name !== wanted) throw new StreamError(`Unexpected record ${name}`);
    };
    this.ready = expect('ready');
    this.started = this.ready.then(() => expect('started'));
    // Who waits is told; before that nobody is.
    this.ready.catch(() => undefined);
    this.started.catch((error: Error) => { this.lost = error; });
  }
}
