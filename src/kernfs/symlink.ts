/**
 * Symlink: a link to another node of the tree (its relative path is computed at readlink, as fs/kernfs/symlink.c:
 * kernfs_get_target_path() does, so nothing is stored per link) or to a fixed text.
 */
import { Node } from './node.js';

export class Symlink extends Node {
  readonly #target: Node | string;

  /** `target`: a node of the same tree, or the text itself. Most callers use addSymlink(). */
  constructor(ino: number, name: string, target: Node | string) {
    super(ino, name);
    this.#target = target;
  }

  override get kind(): 'symlink' {
    return 'symlink';
  }
  override get defaultMode(): number {
    return 0o777;
  }

  /** What readlink(2) answers. */
  get target(): string {
    return typeof this.#target === 'string' ? this.#target : relativePath(this, this.#target);
  }

  /** The node it points to; undefined for a text. */
  get targetNode(): Node | undefined {
    return typeof this.#target === 'string' ? undefined : this.#target;
  }
}

function ancestors(node: Node): Node[] {
  const chain: Node[] = [];
  for (let at: Node | undefined = node; at !== undefined; at = at.parent) chain.push(at);
  return chain.reverse();
}

/** The way from the directory that holds `link` to `target`, `../../bus/mdev`; a directory above is named too: `../../mtty`. */
export function relativePath(link: Node, target: Node): string {
  const from = ancestors(link).slice(0, -1);
  const to = ancestors(target);
  let common = 0;
  while (common < from.length && common < to.length - 1 && from[common] === to[common]) common++;
  return [...from.slice(common).map(() => '..'), ...to.slice(common).map((node) => node.name)].join('/');
}
