/** AttributeOperation: one running show or store, counted for removal only when it does not end at once. */
import type { Caller } from '../kernfs/caller.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import type { AttributeRequest } from './attribute.js';
import type { AttributeNode } from './attribute-node.js';

export class AttributeOperation implements AttributeRequest {
  readonly #node: AttributeNode;
  readonly #request: FileRequest;
  #counted = false;
  /** Active protection broken: removal does not wait for this operation. */
  #broken = false;

  constructor(node: AttributeNode, request: FileRequest) {
    this.#node = node;
    this.#request = request;
  }

  get caller(): Caller {
    return this.#request.caller;
  }
  get signal(): AbortSignal {
    return this.#request.signal;
  }

  /** Calls `show` or `store`; while its promise is pending, the node has an active reference. */
  run<T>(call: (operation: AttributeRequest) => Awaitable<T>): Awaitable<T> {
    const result = call(this);
    if (!(result instanceof Promise)) return result;
    if (!this.#broken) {
      this.#counted = true;
      this.#node.tree.active.get(this.#node);
    }
    return result.finally(() => {
      this.#release();
    });
  }

  /** kernfs_remove_self() */
  removeSelf(): Awaitable<boolean> {
    this.#broken = true;
    this.#release();
    const first = !this.#node.removed;
    return this.#node.tree.remove(this.#node)?.then(() => first) ?? first;
  }

  #release(): void {
    if (!this.#counted) return;
    this.#counted = false;
    this.#node.tree.active.put(this.#node);
  }
}
