/**
 * The VMM's main thread, as far as its order matters: one queue of jobs, run one after the other.
 *
 * QMP commands, handlers of eventfds and the bottom halves of a migration all go through it, so that what happens first is what
 * was dispatched first, as under QEMU's big lock. An eventfd that is signalled ten times before its job runs is one job: it is
 * drained when the job runs, as event_notifier_test_and_clear() does.
 */
import { drainEventfd } from '../sys/eventfd.js';
import { watchReadable } from '../sys/watch.js';

type Job = () => Promise<void>;

export class MainLoop {
  readonly #jobs: Job[] = [];
  #running = false;
  #over = false;

  /** Queues a job; settles with what it returns or throws. */
  run<T>(job: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#over) return;
      this.#jobs.push(async () => {
        try {
          resolve(await job());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
      if (!this.#running) void this.#drain();
    });
  }

  /** The process ends: what is queued by then is never run, and its promises never settle. */
  stop(): void {
    this.#over = true;
    this.#jobs.length = 0;
  }

  /** Jobs that wait, the running one not among them. */
  get length(): number {
    return this.#jobs.length;
  }

  /**
   * Queues one job of `handler` each time `fd` is found readable, and drains it when the job runs. A handler that throws is the
   * concern of `onFault`. Returns the function that ends it; a job that is queued already does not call the handler then.
   */
  watchEventfd(fd: number, handler: () => void | Promise<void>, onFault: (error: unknown) => void): () => void {
    let queued = false;
    let closed = false;
    const watch = watchReadable(fd, () => {
      if (queued || closed) return;
      queued = true;
      watch.pause();
      this.run(async () => {
        queued = false;
        if (closed) return;
        const count = drainEventfd(fd);
        watch.resume();
        if (count > 0n) await handler();
      }).catch(onFault);
    });
    return () => {
      if (closed) return;
      closed = true;
      watch.close();
    };
  }

  async #drain(): Promise<void> {
    this.#running = true;
    try {
      for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) await job();
    } finally {
      this.#running = false;
    }
  }
}
