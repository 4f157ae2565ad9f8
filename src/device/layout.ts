/**
 * Layout: the children that all objects of one kind have, declared once: attributes, links, subdirectories, each with an
 * optional condition. A LayoutSource shows it for one object; so an object costs no memory per file.
 *
 * Every entry has a fixed place in the object's block of inode numbers, a subdirectory one for itself and the span of its
 * own layout after it.
 */
import type { DirEntry } from '../kernfs/dir.js';
import type { Node, NodeKind } from '../kernfs/node.js';
import { Symlink } from '../kernfs/symlink.js';
import type { Attribute } from '../sysfs/attribute.js';
import type { Flavour } from '../sysfs/attribute-node.js';
import { AttributeNode, SYSFS } from '../sysfs/attribute-node.js';
import type { AttributeGroup } from '../sysfs/group.js';
import type { ChildSource, LazyChild } from './lazy-dir.js';
import { LazyDir } from './lazy-dir.js';

export interface LayoutEntry<T> {
  readonly name: string;
  readonly kind: NodeKind;
  /** Inode numbers it takes. */
  readonly span: number;
  readonly visible: ((owner: T) => boolean) | undefined;
  make(owner: T, ino: number): Node;
}

type Condition<T> = ((owner: T) => boolean) | undefined;

export function attribute<T>(declared: Attribute<T>, visible?: Condition<T>): LayoutEntry<T> {
  const untyped = declared as Attribute<unknown>;
  const make = (owner: T, ino: number): Node => new AttributeNode(ino, untyped, owner, SYSFS);
  return { name: declared.name, kind: 'file', span: 1, visible, make };
}

/** `target` gives the text of the link. */
export function link<T>(name: string, target: (owner: T) => string, visible?: Condition<T>): LayoutEntry<T> {
  return { name, kind: 'symlink', span: 1, visible, make: (owner, ino) => new Symlink(ino, name, target(owner)) };
}

export function directory<T>(name: string, layout: Layout<T>, visible?: Condition<T>): LayoutEntry<T> {
  return {
    name, kind: 'dir', span: 1 + layout.span, visible,
    make: (owner, ino) => new LazyDir(ino, name, [new LayoutSource(layout, owner, ino + 1)]),
  };
}

/** A subdirectory whose children come from elsewhere: the devices below mdev_supported_types/<type>/devices. */
export function sourced<T>(name: string, sources: (owner: T) => readonly ChildSource[], visible?: Condition<T>): LayoutEntry<T> {
  return { name, kind: 'dir', span: 1, visible, make: (owner, ino) => new LazyDir(ino, name, sources(owner)) };
}

export class Layout<T> {
  readonly #entries = new Map<string, { readonly entry: LayoutEntry<T>; readonly offset: number }>();
  /** Inode numbers of all entries together. */
  readonly span: number;

  constructor(entries: readonly LayoutEntry<T>[]) {
    let offset = 0;
    for (const entry of entries) {
      this.#entries.set(entry.name, { entry, offset });
      offset += entry.span;
    }
    this.span = offset;
  }

  get(name: string): { readonly entry: LayoutEntry<T>; readonly offset: number } | undefined {
    return this.#entries.get(name);
  }
  values(): Iterable<{ readonly entry: LayoutEntry<T>; readonly offset: number }> {
    return this.#entries.values();
  }
}

/** `ino` is the first number of the layout's block. */
export class LayoutSource<T> implements ChildSource {
  constructor(private readonly layout: Layout<T>, private readonly owner: T, private readonly ino: number) {}

  get directories(): number {
    let count = 0;
    for (const { kind } of this.list()) if (kind === 'dir') count++;
    return count;
  }

  find(name: string): LazyChild | undefined {
    const found = this.layout.get(name);
    if (found === undefined || found.entry.visible?.(this.owner) === false) return undefined;
    const { entry, offset } = found;
    const ino = this.ino + offset;
    return { name, ino, kind: entry.kind, make: () => entry.make(this.owner, ino) };
  }

  *list(): Iterable<DirEntry> {
    for (const { entry, offset } of this.layout.values()) {
      if (entry.visible?.(this.owner) !== false) yield { name: entry.name, ino: this.ino + offset, kind: entry.kind };
    }
  }
}

/** Inode numbers that GroupSource needs for these groups. */
export function groupSpan(groups: readonly AttributeGroup[]): number {
  return groups.reduce((sum, { name, attributes }) => sum + attributes.length + (name === undefined ? 0 : 1), 0);
}

/** The attributes of an object's groups, which its driver gave; `groups` is asked each time, so it may become empty. */
export class GroupSource implements ChildSource {
  constructor(
    private readonly groups: () => readonly AttributeGroup[],
    private readonly ino: number,
    private readonly flavour: Flavour = SYSFS,
    private readonly order: 'hash' | 'newest' = 'hash',
  ) {}

  get directories(): number {
    return this.groups().filter(({ name }) => name !== undefined).length;
  }

  find(name: string): LazyChild | undefined {
    for (const { child, make } of this.#children()) if (child.name === name) return { ...child, make };
    return undefined;
  }

  *list(): Iterable<DirEntry> {
    for (const { child } of this.#children()) yield child;
  }

  *#children(): Iterable<{ child: DirEntry; make: () => Node }> {
    let at = this.ino;
    for (const group of this.groups()) {
      const { name, attributes, owner } = group;
      const first = at;
      at += attributes.length + (name === undefined ? 0 : 1);
      if (name === undefined) {
        for (const [index, declared] of attributes.entries()) {
          const child: DirEntry = { name: declared.name, ino: first + index, kind: 'file' };
          yield { child, make: () => new AttributeNode(child.ino, declared, owner, this.flavour) };
        }
        continue;
      }
      const plain: AttributeGroup[] = [{ owner, attributes }];
      const make = (): Node =>
        new LazyDir(first, name, [new GroupSource(() => plain, first + 1, this.flavour, this.order)], { order: this.order });
      yield { child: { name, ino: first, kind: 'dir' }, make };
    }
  }
}
