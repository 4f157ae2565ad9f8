/**
 * GuestMemory: the RAM together with everybody who keeps a log of dirty pages. Source: QEMU's system/memory.c:
 * memory_global_dirty_log_start(), memory_global_dirty_log_stop(), memory_global_dirty_log_sync().
 */
import type { Ram } from './ram.js';
import type { VmStateHandlers } from './state-handlers.js';

/** An IOMMU's or a device's log of what devices wrote. */
export interface DirtyLog {
  /** Throws with a text for the migration's error-desc; then nothing is logged. */
  start(): void;
  /** Sets the bits of pages that were written since the last time in `ram.dirty`. Throws with a text. */
  sync(ram: Ram): void;
  stop(): void;
}

export class GuestMemory {
  readonly #logs: DirtyLog[] = [];
  readonly #handlers: VmStateHandlers;
  readonly #isRunning: () => boolean;
  #logging = false;
  #postponedStop: (() => void) | undefined;

  constructor(readonly ram: Ram, handlers: VmStateHandlers, isRunning: () => boolean) {
    this.#handlers = handlers;
    this.#isRunning = isRunning;
  }

  /** Returns the function that takes it out again. It is not stopped: whoever keeps it is closed then. */
  addLog(log: DirtyLog): () => void {
    this.#logs.push(log);
    return () => {
      const at = this.#logs.indexOf(log);
      if (at >= 0) this.#logs.splice(at, 1);
    };
  }

  /** Part of RAM's save_setup. Throws where a log can't be started; then none runs. */
  startDirtyLog(): void {
    this.#finishStop();
    if (this.#logging) return;
    const started: DirtyLog[] = [];
    try {
      for (const log of this.#logs) {
        log.start();
        started.push(log);
      }
    } catch (error) {
      for (const log of started.reverse()) log.stop();
      throw error;
    }
    this.ram.tracking = true;
    this.#logging = true;
  }

  /** Brings `ram.dirty` up to date with what devices wrote. */
  syncDirtyLog(): void {
    if (!this.#logging) return;
    for (const log of this.#logs) log.sync(this.ram);
  }

  /** RAM's save_cleanup. While the VM is stopped it waits until the VM starts, as QEMU's does. */
  stopDirtyLog(): void {
    if (!this.#logging || this.#postponedStop !== undefined) return;
    if (this.#isRunning()) return this.#stop();
    this.#postponedStop = this.#handlers.addFirst({ change: (running) => { if (running) this.#finishStop(); } });
  }

  #finishStop(): void {
    if (this.#postponedStop === undefined) return;
    this.#postponedStop();
    this.#postponedStop = undefined;
    this.#stop();
  }

  #stop(): void {
    this.#logging = false;
    this.ram.tracking = false;
    for (const log of [...this.#logs].reverse()) log.stop();
  }
}
