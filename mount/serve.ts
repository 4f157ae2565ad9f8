/**
 * The loop that feeds a session: reads while there are requests, asks on for a while as adaptive-poll.ts advises, and goes
 * back to the event loop. Idle, it is nothing but a descriptor in epoll.
 */
import { ERRNO } from '../src/abi/errno.js';
import type { AdaptivePoll } from './adaptive-poll.js';
import type { Channel } from './channel.js';
import type { Session } from './session.js';

/** Longest time without the event loop, so that timers and other descriptors get their turn, microseconds. */
const SLICE = 2000;
/** Requests between two looks at the clock. */
const LOOK = 4;

const now = (): number => performance.now() * 1000;

class Loop {
  readonly #session: Session;
  readonly #channel: Channel;
  readonly #poll: AdaptivePoll;
  /** While asking through the event loop: until when. */
  #askUntil: number | undefined = undefined;
  /** #askAgain() is due in the next turn of the event loop. */
  #askDue = false;

  constructor(session: Session, channel: Channel, poll: AdaptivePoll) {
    this.#session = session;
    this.#channel = channel;
    this.#poll = poll;
  }

  /** The channel may be readable. */
  readonly readable = (): void => {
    if (this.#session.ended) return;
    const size = this.#receive();
    if (size <= 0) return;
    if (this.#askUntil !== undefined) this.#came();
    else if (this.#poll.judging) this.#poll.woken(now());
    this.#work(size);
  };

  /** Handles a request of `size` bytes and all that follow at once. */
  #work(size: number): void {
    const session = this.#session;
    let end = 0;
    let count = 0;
    for (let next = size; next > 0;) {
      session.handle(next);
      count++;
      if (count % LOOK === 0) {
        if (end === 0) end = now() + SLICE;
        else if (now() > end) {
          setImmediate(this.#resume);
          return;
        }
      }
      next = this.#receive();
      if (next === 0 && !session.ended) next = this.#ask();
    }
  }

  /** The event loop had its turn. */
  readonly #resume = (): void => {
    const size = this.#receive();
    if (size > 0) this.#work(size);
  };

  /** Nothing to do: the size of a request that came while asking, or 0. */
  #ask(): number {
    const window = this.#poll.attempt();
    if (window === 0) return 0;
    const until = now() + window;
    if (this.#session.pendingCount > 0) {
      // Asynchronous handlers need the event loop to go on: ask between its turns.
      this.#askUntil = until;
      this.#askLater();
      return 0;
    }
    do {
      const size = this.#receive();
      if (size > 0) {
        this.#poll.paid();
        return size;
      }
    } while (!this.#session.ended && now() < until);
    this.#poll.wasted(now());
    return 0;
  }

  #askLater(): void {
    if (!this.#askDue) setImmediate(this.#askAgain);
    this.#askDue = true;
  }

  readonly #askAgain = (): void => {
    this.#askDue = false;
    if (this.#askUntil === undefined || this.#session.ended) return;
    const size = this.#receive();
    if (size > 0) {
      this.#came();
      this.#work(size);
    } else if (now() < this.#askUntil) {
      this.#askLater();
    } else {
      this.#askUntil = undefined;
      this.#poll.wasted(now());
    }
  };

  #came(): void {
    this.#askUntil = undefined;
    this.#poll.paid();
  }

  /** The size of the next request, 0 when there is none. Ends the session when the mount is gone. */
  #receive(): number {
    const session = this.#session;
    for (;;) {
      if (session.ended) return 0;
      const size = this.#channel.receive(session.message.data);
      if (size > 0) return size;
      switch (-size) {
        case ERRNO.EAGAIN: return 0;
        // The request was taken back before it was read, or a signal came.
        case ERRNO.ENOENT: case ERRNO.EINTR: continue;
        // Of an unmount (drivers/fuse/dev.c: fuse_dev_do_read()) the second is what a request meets that is being read meanwhile.
        case ERRNO.ENODEV: case ERRNO.ECONNABORTED: session.end('unmounted'); return 0;
        default: session.end(`reading requests failed with errno ${-size}`); return 0;
      }
    }
  }
}

/** Serves until the session ends. */
export function serve(session: Session, channel: Channel, poll: AdaptivePoll): void {
  channel.onReadable(new Loop(session, channel, poll).readable);
}
