/**
 * QEMU's big lock, for the migration thread: while it is held the main loop runs nothing else.
 *
 * Holding it is being the main loop's running job, so commands, eventfd handlers and the migration take turns in the order in
 * which they asked.
 */
import type { MainLoop } from '../main-loop.js';

export class BigLock {
  readonly #loop: MainLoop;
  #release: (() => void) | undefined;

  /** One thread's view of it: a thread that holds it does not acquire it again. */
  constructor(loop: MainLoop) {
    this.#loop = loop;
  }

  async acquire(): Promise<void> {
    this.#release = await new Promise<() => void>((held) => {
      void this.#loop.run(() => new Promise<void>((release) => held(release)));
    });
  }

  release(): void {
    this.#release?.();
    this.#release = undefined;
  }

  /** Gives it back while `wait` lasts, where there is something to wait for. */
  async yieldFor(wait: Promise<void> | undefined): Promise<void> {
    if (wait === undefined) return;
    this.release();
    try {
      await wait;
    } finally {
      await this.acquire();
    }
  }

  async hold<T>(body: () => T | Promise<T>): Promise<T> {
    await this.acquire();
    try {
      return await body();
    } finally {
      this.release();
    }
  }
}
