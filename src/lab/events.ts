/** What a lab tells its user, and waiting for it. */

/** Every event has the time since the lab was made, in milliseconds. */
export type LabEvent = { readonly time: number } & (
  /** A uevent; `env` as the kernel would send it. */
  | {
    readonly type: 'uevent'; readonly action: string; readonly devpath: string; readonly subsystem: string;
    readonly env: readonly string[];
  }
  /** `removing`: remove was asked for; `removed`: the device is gone. */
  | { readonly type: 'device'; readonly change: 'created' | 'removing' | 'removed'; readonly uuid: string }
  /** One step of a migration walk, or a reset. Names as in debugfs: RUNNING, PRE_COPY, STOP_COPY, ... */
  | { readonly type: 'state'; readonly uuid: string; readonly from: string; readonly to: string; readonly reset: boolean }
  /** A request for a state has been carried out. */
  | { readonly type: 'transition'; readonly uuid: string; readonly from: string; readonly to: string }
  /** MIG_DATA_SIZE was asked. */
  | { readonly type: 'data-size'; readonly uuid: string }
  /** Device state went through a data file: `bytes` so far in this file. */
  | { readonly type: 'data'; readonly uuid: string; readonly direction: 'saving' | 'resuming'; readonly bytes: number }
  /** migration_block was changed (the eventfd was signalled), or the change was refused with EBUSY. */
  | { readonly type: 'block'; readonly uuid: string; readonly blocked: boolean; readonly refused: boolean }
  /** A line of the kernel log. */
  | { readonly type: 'klog'; readonly message: string }
);

export type LabEventType = LabEvent['type'];
export type LabEventOf<T extends LabEventType> = Extract<LabEvent, { readonly type: T }>;
export type LabListener = (event: LabEvent) => void;

/**
 * Events are delivered synchronously and in order. What a listener throws is an uncaught exception of this process, as a failed
 * assertion in a test should be: it changes nothing of what the device was doing.
 */
export class LabEvents {
  readonly #listeners = new Set<LabListener>();
  readonly #start = performance.now();
  readonly #waiting = new Set<(why: Error) => void>();
  /** Why no event comes any more. */
  #over: Error | undefined;

  emit(event: LabEvent extends infer E ? (E extends LabEvent ? Omit<E, 'time'> : never) : never): void {
    if (this.#listeners.size === 0) return;
    const timed = { ...event, time: performance.now() - this.#start } as LabEvent;
    for (const listener of [...this.#listeners]) {
      try {
        listener(timed);
      } catch (error) {
        queueMicrotask(() => { throw error; });
      }
    }
  }

  /** Returns the function that ends it. */
  subscribe(listener: LabListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** No event comes any more: whoever waits for one gets that as an Error. */
  end(reason: string): void {
    this.#over = new Error(reason);
    for (const giveUp of [...this.#waiting]) giveUp(this.#over);
  }

  /** The next event of that type for which `accept` says yes. Rejects when `signal` is aborted, and with end(). */
  next<T extends LabEventType>(
    type: T, accept: (event: LabEventOf<T>) => boolean = () => true, signal?: AbortSignal,
  ): Promise<LabEventOf<T>> {
    const next = new Promise<LabEventOf<T>>((resolve, reject) => {
      const finish = (): void => {
        unsubscribe();
        this.#waiting.delete(giveUp);
        signal?.removeEventListener('abort', aborted);
      };
      const giveUp = (why: Error): void => {
        finish();
        reject(why);
      };
      const aborted = (): void => giveUp(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
      const unsubscribe = this.subscribe((event) => {
        if (event.type !== type || !accept(event as LabEventOf<T>)) return;
        finish();
        resolve(event as LabEventOf<T>);
      });
      this.#waiting.add(giveUp);
      signal?.addEventListener('abort', aborted);
      if (this.#over !== undefined) giveUp(this.#over);
      else if (signal?.aborted === true) aborted();
    });
    // One that nobody waits for any more is no fault of the process.
    next.catch(() => undefined);
    return next;
  }
}
