/**
 * DeviceDirs: directories that exist while something is in them: the class directories below sys/devices/virtual
 * (drivers/base/core.c: get_device_parent()) and those of /dev (drivers/base/devtmpfs.c: delete_path()).
 */
import type { DirOrder } from '../kernfs/dir.js';
import { Dir } from '../kernfs/dir.js';
import type { DirEntry } from '../kernfs/dir.js';
import type { Node } from '../kernfs/node.js';
import { LazyDir, Members } from './lazy-dir.js';

interface Shown<T extends object> {
  readonly dir: LazyDir;
  readonly members: Members<T>;
  /** Directories of this kind inside it. */
  inside: number;
}

export interface ItemKind<T> {
  readonly kind: DirEntry['kind'];
  inoOf(item: T): number;
  make(ino: number, name: string, item: T): Node;
}

export class DeviceDirs<T extends object> {
  readonly #root: Dir;
  readonly #item: ItemKind<T>;
  readonly #order: DirOrder;
  readonly #dirs = new Map<string, Shown<T>>();
  /** Items directly in the root. */
  readonly #rootItems: Members<T> | undefined;

  /** `rootItems`: what the root shows of this kind, where items can be in it. */
  constructor(root: Dir, item: ItemKind<T>, order: DirOrder, rootItems?: Members<T>) {
    this.#root = root;
    this.#item = item;
    this.#order = order;
    this.#rootItems = rootItems;
  }

  /** `path` is below the root, without slashes at the ends; '' is the root itself. */
  add(path: string, name: string, item: T): void {
    this.#members(path).add(name, item);
  }

  /** The promise is for operations that still run below the item. */
  delete(path: string, name: string): Promise<void> | undefined {
    const wait = this.#members(path).delete(name);
    this.#dropEmpty(path);
    return wait;
  }

  #members(path: string): Members<T> {
    if (path !== '') return this.#ensure(path).members;
    if (this.#rootItems === undefined) throw new Error('nothing can be put into the root itself');
    return this.#rootItems;
  }

  #ensure(path: string): Shown<T> {
    const known = this.#dirs.get(path);
    if (known !== undefined) return known;
    const { above, name } = split(path);
    const parent = above === '' ? undefined : this.#ensure(above);
    const members = new Members<T>(this.#item.kind, (item) => this.#item.inoOf(item), (...of) => this.#item.make(...of));
    const options = { born: Date.now(), order: this.#order };
    const dir = new LazyDir(this.#root.tree.allocateInos(1), name, [members], options);
    (parent?.dir ?? this.#root).attach(dir);
    if (parent !== undefined) parent.inside++;
    const shown = { dir, members, inside: 0 };
    this.#dirs.set(path, shown);
    return shown;
  }

  #dropEmpty(path: string): void {
    const shown = this.#dirs.get(path);
    if (shown === undefined || shown.members.size > 0 || shown.inside > 0) return;
    this.#dirs.delete(path);
    void shown.dir.tree.remove(shown.dir);
    const { above } = split(path);
    const parent = this.#dirs.get(above);
    if (parent !== undefined) parent.inside--;
    this.#dropEmpty(above);
  }
}

/** `a/b/c` as `a/b` and `c`. */
export function split(path: string): { above: string; name: string } {
  const slash = path.lastIndexOf('/');
  return { above: path.slice(0, Math.max(slash, 0)), name: path.slice(slash + 1) };
}
