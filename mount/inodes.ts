/**
 * Which nodes the kernel holds. A nodeid is the node's inode number (the root is 1 in both worlds); each successful LOOKUP
 * adds one to its count, FORGET takes away. While the count is above zero the node is kept here.
 */
import type { Node } from '../src/kernfs/node.js';

export class Inodes {
  readonly #nodes = new Map<number, Node>();
  /** Lookups of everything but the root, which is never forgotten. */
  readonly #counts = new Map<number, number>();
  readonly #root: Node;

  constructor(root: Node) {
    this.#root = root;
    this.#nodes.set(root.ino, root);
  }

  /** Undefined for a nodeid that was never given out, or was forgotten. */
  get(nodeid: number): Node | undefined {
    return this.#nodes.get(nodeid);
  }

  /** Nodes the kernel holds, the root included. */
  get size(): number {
    return this.#nodes.size;
  }

  /** One more lookup of the node was answered. */
  remember(node: Node): void {
    if (node === this.#root) return;
    const count = this.#counts.get(node.ino);
    this.#counts.set(node.ino, (count ?? 0) + 1);
    if (count === undefined) this.#nodes.set(node.ino, node);
  }

  /** The kernel gives `lookups` back. */
  forget(nodeid: number, lookups: number): void {
    const count = this.#counts.get(nodeid);
    if (count === undefined) return;
    if (count > lookups) {
      this.#counts.set(nodeid, count - lookups);
      return;
    }
    const node = this.#nodes.get(nodeid);
    this.#counts.delete(nodeid);
    this.#nodes.delete(nodeid);
    node?.forgotten();
  }

  /** The session is over: everything is forgotten. */
  clear(): void {
    for (const nodeid of [...this.#counts.keys()]) this.forget(nodeid, Infinity);
  }
}
