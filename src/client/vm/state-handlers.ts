/**
 * What is told when the VM starts or stops. Source: QEMU's system/runstate.c: vm_state_notify(), system/vmstate-change-prio.
 *
 * Starting: every prepare handler, then every handler, in the order of registration; stopping: the same in reverse. Handlers
 * cannot fail: what goes wrong in one is its own affair to report.
 */
import type { RunState } from './run-state.js';

export interface VmStateHandler {
  prepare?(running: boolean, state: RunState): void;
  change(running: boolean, state: RunState): void;
}

export class VmStateHandlers {
  readonly #handlers: VmStateHandler[] = [];

  /** Returns the function that takes it out again. */
  add(handler: VmStateHandler): () => void {
    this.#handlers.push(handler);
    return this.#remover(handler);
  }

  /** As add(), for what is no device's: such handlers have QEMU's priority 0, and come before those of devices. */
  addFirst(handler: VmStateHandler): () => void {
    this.#handlers.unshift(handler);
    return this.#remover(handler);
  }

  #remover(handler: VmStateHandler): () => void {
    return () => {
      const at = this.#handlers.indexOf(handler);
      if (at >= 0) this.#handlers.splice(at, 1);
    };
  }

  notify(running: boolean, state: RunState): void {
    const handlers = running ? [...this.#handlers] : [...this.#handlers].reverse();
    for (const handler of handlers) handler.prepare?.(running, state);
    for (const handler of handlers) handler.change(running, state);
  }
}
