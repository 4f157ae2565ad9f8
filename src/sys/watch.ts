/** Any descriptor on Node's own event loop. */
import koffi from 'koffi';
import type { node } from 'koffi';

export interface Watch {
  /** No calls until resume(): for who is told again and again of what can't be looked at yet. */
  pause(): void;
  resume(): void;
  close(): void;
}

/** Calls back each time the event loop finds `fd` readable or hung up (level-triggered), until close(). */
export function watchReadable(fd: number, callback: () => void): Watch {
  const events = { readable: true, disconnect: true };
  const poll = koffi.node.poll(fd, events, callback);
  return { pause: () => poll.stop(), resume: () => poll.start(events, callback), close: () => poll.close() };
}

/**
 * Calls back when `fd` hangs up or fails (EPOLLERR), as files of a FUSE file system do whose server has gone. Returns what ends it.
 * Nothing is called for a file that can't be polled.
 */
export function watchFailure(fd: number, callback: () => void): () => void {
  try {
    const poll = koffi.node.poll(fd, { disconnect: true }, callback);
    poll.unref();
    return () => poll.close();
  } catch {
    return () => undefined;
  }
}

type Direction = 'readable' | 'writable';

/** Waits for one descriptor, in both directions at a time; the event loop looks at it only while somebody waits. */
export class Readiness {
  readonly #fd: number;
  #poll: node.PollHandle | undefined;
  readonly #waiting: Record<Direction, (() => void) | undefined> = { readable: undefined, writable: undefined };
  #closed = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Settles when it may be worth another try: also after an error or a hang-up, and at close(). One at a time in a direction. */
  wait(direction: Direction): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting[direction] = resolve;
      this.#arm();
    });
  }

  /** Before the descriptor is closed. */
  close(): void {
    this.#closed = true;
    this.#poll?.close();
    this.#wake('readable');
    this.#wake('writable');
  }

  #arm(): void {
    const events = { readable: this.#waiting.readable !== undefined, writable: this.#waiting.writable !== undefined };
    if (this.#poll === undefined) this.#poll = koffi.node.poll(this.#fd, events, this.#ready);
    else if (events.readable || events.writable) this.#poll.start(events, this.#ready);
    else this.#poll.stop();
  }

  readonly #ready = (...args: unknown[]): void => {
    // Called with (status, events), whatever koffi's types say; an error comes without events, and is everybody's.
    const events = args.at(-1) as node.PollEvents;
    const all = !events.readable && !events.writable;
    if (all || events.readable) this.#wake('readable');
    if (all || events.writable) this.#wake('writable');
    this.#arm();
  };

  #wake(direction: Direction): void {
    const resolve = this.#waiting[direction];
    this.#waiting[direction] = undefined;
    resolve?.();
  }
}
