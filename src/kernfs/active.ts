/**
 * Active references: which nodes have an operation running (fs/kernfs/dir.c: kernfs_get_active(), kernfs_drain(),
 * kernfs_break_active_protection()). Only operations that did not finish at once are counted, so an idle tree costs nothing.
 */
import type { Node } from './node.js';

interface Running {
  count: number;
  /** Called when the count is 0. */
  readonly waiters: (() => void)[];
}

export class ActiveReferences {
  readonly #running = new Map<Node, Running>();

  /** An operation starts on the node. */
  get(node: Node): void {
    const running = this.#running.get(node);
    if (running === undefined) this.#running.set(node, { count: 1, waiters: [] });
    else running.count++;
  }

  /** It has ended, or wants no longer to be waited for. */
  put(node: Node): void {
    const running = this.#running.get(node);
    if (running === undefined) throw new Error(`no operation runs on ${node.path}`);
    if (--running.count > 0) return;
    this.#running.delete(node);
    for (const wake of running.waiters) wake();
  }

  /** Resolves when none of the nodes has an operation running; undefined when that is so now. */
  drain(nodes: readonly Node[]): Promise<void> | undefined {
    if (this.#running.size === 0) return undefined;
    const waits: Promise<void>[] = [];
    for (const node of nodes) {
      const running = this.#running.get(node);
      if (running !== undefined) waits.push(new Promise((resolve) => running.waiters.push(resolve)));
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined);
  }
}
