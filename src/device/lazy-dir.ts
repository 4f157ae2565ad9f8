/**
 * LazyDir: a directory whose children are made when somebody looks them up and let go when mount forgets them, so that
 * ten thousand devices cost the memory of their objects, not of their files. Sources say which children there are.
 *
 * A child keeps its inode number over being let go and made again: sources derive it from their owner's block of numbers.
 * Children whose mode or owner was changed stay (Node.changed).
 */
import type { DirEntry, DirOrder } from '../kernfs/dir.js';
import { Dir } from '../kernfs/dir.js';
import type { Node } from '../kernfs/node.js';
import { AttributeNode } from '../sysfs/attribute-node.js';
import { NameMap } from './name-map.js';

/** A child that could be made. */
export interface LazyChild extends DirEntry {
  make(): Node;
}

/** Where a directory gets children from. A name must be in one source only. */
export interface ChildSource {
  find(name: string): LazyChild | undefined;
  list(): Iterable<DirEntry>;
  /** How many of the children are directories (for nlink). */
  readonly directories: number;
  /** Called by the directory that shows this source. */
  shownBy?(dir: LazyDir): void;
}

export interface LazyDirOptions {
  /** ms since the epoch; without it the directory above tells. */
  readonly born?: number;
  readonly order?: DirOrder;
}

export class LazyDir extends Dir {
  #sources: readonly ChildSource[];
  readonly #since: number | undefined;
  #live: Map<string, Node> | undefined = undefined;
  /** Names that a source still gives but that were removed one by one (an attribute that removed itself). */
  #hidden: Set<string> | undefined = undefined;

  constructor(ino: number, name: string, sources: readonly ChildSource[], options: LazyDirOptions = {}) {
    super(ino, name, 0o755, options.order);
    this.#sources = sources;
    this.#since = options.born;
    for (const source of sources) source.shownBy?.(this);
  }

  /** For directories that are made once; those of objects get all sources when they are made. */
  addSource(source: ChildSource): void {
    this.#sources = [...this.#sources, source];
    source.shownBy?.(this);
  }

  override get born(): number {
    return this.#since ?? this.parent?.born ?? 0;
  }

  override get subdirectories(): number {
    return this.#sources.reduce((sum, source) => sum + source.directories, super.subdirectories);
  }

  override lookup(name: string): Node | undefined {
    const known = this.#live?.get(name) ?? super.lookup(name);
    if (known !== undefined || this.removed || this.#isHidden(name)) return known;
    for (const source of this.#sources) {
      const child = source.find(name)?.make();
      if (child === undefined) continue;
      child.parent = this;
      this.#live ??= new Map();
      this.#live.set(name, child);
      return child;
    }
    return undefined;
  }

  override entries(): DirEntry[] {
    const entries = super.entries();
    if (this.removed) return entries;
    for (const source of this.#sources) for (const child of source.list()) if (!this.#isHidden(child.name)) entries.push(child);
    return entries;
  }

  /** The child of that name if it exists as an object now. */
  liveChild(name: string): Node | undefined {
    return this.#live?.get(name);
  }

  override *liveChildren(): Iterable<Node> {
    yield* super.liveChildren();
    if (this.#live !== undefined) yield* this.#live.values();
  }

  override dropChild(child: Node): void {
    if (this.#live?.get(child.name) !== child) {
      super.dropChild(child);
      return;
    }
    this.#release(child.name);
    if (!this.#names(child.name)) return;
    this.#hidden ??= new Set();
    this.#hidden.add(child.name);
  }

  /** sysfs_notify(): wakes those who poll the attribute; `path` may lead into a subdirectory. */
  notify(path: string): void {
    const slash = path.indexOf('/');
    const node = this.#live?.get(slash < 0 ? path : path.slice(0, slash));
    if (node instanceof AttributeNode) node.notify();
    else if (node instanceof LazyDir && slash >= 0) node.notify(path.slice(slash + 1));
  }

  /**
   * Removes the made children that no source names any more. The promise (undefined: nothing to wait for) resolves when
   * no operation runs on them.
   */
  refresh(): Promise<void> | undefined {
    const waits: Promise<void>[] = [];
    for (const child of [...(this.#live?.values() ?? [])]) {
      if (this.#names(child.name)) continue;
      const wait = this.tree.remove(child);
      if (wait !== undefined) waits.push(wait);
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined);
  }

  override childForgotten(child: Node): void {
    if (this.#live?.get(child.name) !== child || child.changed) return;
    if (child instanceof AttributeNode && child.isOpen) return;
    if (child instanceof LazyDir && child.#pinned) return;
    this.#release(child.name);
  }

  get #pinned(): boolean {
    return this.#hidden !== undefined || this.liveChildren()[Symbol.iterator]().next().done !== true;
  }

  #names(name: string): boolean {
    return this.#sources.some((source) => source.find(name) !== undefined);
  }

  #isHidden(name: string): boolean {
    return this.#hidden?.has(name) ?? false;
  }

  #release(name: string): void {
    this.#live?.delete(name);
    if (this.#live?.size === 0) this.#live = undefined;
  }
}

/** Children from a map that grows and shrinks: `bus/mdev/devices`, `class/vfio`, the devices of a parent. */
export class Members<T extends object> implements ChildSource {
  readonly #items = new NameMap<T>();
  #dir: LazyDir | undefined = undefined;

  constructor(
    private readonly kind: DirEntry['kind'],
    private readonly inoOf: (item: T) => number,
    private readonly makeNode: (ino: number, name: string, item: T) => Node,
  ) {}

  get size(): number {
    return this.#items.size;
  }
  get directories(): number {
    return this.kind === 'dir' ? this.#items.size : 0;
  }
  get(name: string): T | undefined {
    return this.#items.get(name);
  }
  values(): IterableIterator<T> {
    return this.#items.values();
  }
  shownBy(dir: LazyDir): void {
    this.#dir = dir;
  }
  /** The node of that member if it exists as an object. */
  liveNode(name: string): Node | undefined {
    return this.#dir?.liveChild(name);
  }

  add(name: string, item: T): void {
    if (this.#items.has(name)) throw new Error(`${name} is there already`);
    this.#items.set(name, item);
    this.#linksChanged();
  }

  /** Out of the directory at once; the promise is for operations that still run below it. Unknown names are ignored. */
  delete(name: string): Promise<void> | undefined {
    if (!this.#items.delete(name)) return undefined;
    const node = this.#dir?.liveChild(name);
    if (node !== undefined) return node.tree.remove(node);
    this.#linksChanged();
    return undefined;
  }

  /** A subdirectory that nobody has looked up counts in its parent's links too. */
  #linksChanged(): void {
    const dir = this.#dir;
    if (this.kind === 'dir' && dir?.parent !== undefined && !dir.removed) dir.tree.observer.changed?.(dir);
  }

  find(name: string): LazyChild | undefined {
    const item = this.#items.get(name);
    if (item === undefined) return undefined;
    const ino = this.inoOf(item);
    return { name, ino, kind: this.kind, make: () => this.makeNode(ino, name, item) };
  }

  *list(): Iterable<DirEntry> {
    for (const [name, item] of this.#items) yield { name, ino: this.inoOf(item), kind: this.kind };
  }
}
