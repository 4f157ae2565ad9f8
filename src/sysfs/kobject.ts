/**
 * KobjectDir: the directory of an object, made from attribute groups. Only the groups are kept; attribute nodes and the
 * directories of named groups come into being at lookup and go again with the kernel's FORGET. Their inode numbers are
 * fixed when the group is added (one block per group).
 */
import { Errno } from '../abi/errno.js';
import type { DirEntry, DirOrder } from '../kernfs/dir.js';
import { Dir } from '../kernfs/dir.js';
import type { Node } from '../kernfs/node.js';
import type { Flavour } from './attribute-node.js';
import { AttributeNode, DEBUGFS, SYSFS } from './attribute-node.js';
import type { AttributeGroup } from './group.js';

interface Member {
  readonly group: AttributeGroup;
  /** Of the first attribute; the directory of a named group comes before it. */
  readonly ino: number;
}

export class KobjectDir extends Dir {
  readonly flavour: Flavour;
  /** Shared with nobody; short. */
  #members: Member[] = [];
  /** Lazy children that exist now. */
  #live: Map<string, Node> | undefined = undefined;
  /** Names taken out one by one. */
  #hidden: Set<string> | undefined = undefined;
  #groupDirectories = 0;

  constructor(ino: number, name: string, flavour: Flavour = SYSFS, mode = 0o755, order: DirOrder = 'hash') {
    super(ino, name, mode, order);
    this.flavour = flavour;
  }

  override get subdirectories(): number {
    return super.subdirectories + this.#groupDirectories;
  }

  override lookup(name: string): Node | undefined {
    if (this.removed) return undefined;
    return super.lookup(name) ?? this.#live?.get(name) ?? this.#make(name);
  }

  override entries(): DirEntry[] {
    const entries = super.entries();
    if (this.removed) return entries;
    for (const { group, ino } of this.#members) {
      if (group.name !== undefined) {
        if (!this.#isHidden(group.name)) entries.push({ name: group.name, ino: ino - 1, kind: 'dir' });
        continue;
      }
      group.attributes.forEach(({ name }, index) => {
        if (!this.#isHidden(name)) entries.push({ name, ino: ino + index, kind: 'file' });
      });
    }
    return entries;
  }

  override *liveChildren(): Iterable<Node> {
    yield* super.liveChildren();
    if (this.#live !== undefined) yield* this.#live.values();
  }

  /** sysfs_create_group(). Throws EEXIST when one of the names is taken. */
  addGroup(group: AttributeGroup): void {
    const names = group.name === undefined ? group.attributes.map(({ name }) => name) : [group.name];
    for (const name of names) {
      if (this.lookup(name) !== undefined) throw new Errno('EEXIST', `${this.path}/${name}`);
      this.#hidden?.delete(name);
    }
    this.#adopt(group);
  }

  /** sysfs_remove_group(): the promise resolves when no show or store runs there any more. */
  removeGroup(group: AttributeGroup): Promise<void> | undefined {
    const names = group.name === undefined ? group.attributes.map(({ name }) => name) : [group.name];
    const waits = names.map((name) => this.removeAttribute(name)).filter((wait) => wait !== undefined);
    this.#members = this.#members.filter((member) => member.group !== group);
    for (const name of names) this.#hidden?.delete(name);
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined);
  }

  /** sysfs_remove_file(), or the directory of a named group; nothing when there is no such child. */
  removeAttribute(name: string): Promise<void> | undefined {
    const node = this.lookup(name);
    return node === undefined ? undefined : this.tree.remove(node);
  }

  /** sysfs_notify(): wakes those who poll the attribute; `path` may lead into a named group. */
  notify(path: string): void {
    const [name = '', ...rest] = path.split('/');
    const node = this.#live?.get(name);
    if (node instanceof AttributeNode) node.notify();
    else if (node instanceof KobjectDir) node.notify(rest.join('/'));
  }

  override dropChild(child: Node): void {
    if (this.#live?.get(child.name) !== child) {
      super.dropChild(child);
      return;
    }
    this.#dropLive(child.name);
    this.#hidden ??= new Set();
    this.#hidden.add(child.name);
    if (child.kind === 'dir') this.#groupDirectories--;
  }

  override childForgotten(child: Node): void {
    if (child.removed || child.changed || this.#live?.get(child.name) !== child) return;
    if (child instanceof AttributeNode ? child.isOpen : child instanceof KobjectDir && child.#inUse) return;
    this.#dropLive(child.name);
  }

  get #inUse(): boolean {
    return this.#live !== undefined || this.#hidden !== undefined || super.entries().length > 0;
  }

  #isHidden(name: string): boolean {
    return this.#hidden?.has(name) ?? false;
  }

  #dropLive(name: string): void {
    this.#live?.delete(name);
    if (this.#live?.size === 0) this.#live = undefined;
  }

  #adopt(group: AttributeGroup): void {
    const own = group.name === undefined ? 0 : 1;
    const ino = this.tree.allocateInos(own + group.attributes.length) + own;
    this.#members.push({ group, ino });
    this.#groupDirectories += own;
  }

  #make(name: string): Node | undefined {
    if (this.#isHidden(name)) return undefined;
    for (const member of this.#members) {
      const child = this.#makeFrom(member, name);
      if (child === undefined) continue;
      child.parent = this;
      this.#live ??= new Map();
      this.#live.set(name, child);
      return child;
    }
    return undefined;
  }

  #makeFrom({ group, ino }: Member, name: string): Node | undefined {
    if (group.name === name) {
      const dir = new KobjectDir(ino - 1, name, this.flavour, 0o755, this.order);
      dir.#members.push({ group: { owner: group.owner, attributes: group.attributes }, ino });
      return dir;
    }
    if (group.name !== undefined) return undefined;
    const index = group.attributes.findIndex((each) => each.name === name);
    const attribute = group.attributes[index];
    return attribute === undefined ? undefined : new AttributeNode(ino + index, attribute, group.owner, this.flavour);
  }
}

/** kobject_add() and sysfs_create_groups(): a new directory below `parent`. Throws EEXIST when the name is taken. */
export function createKobject(parent: Dir, name: string, groups: readonly AttributeGroup[] = []): KobjectDir {
  return withGroups(parent, new KobjectDir(parent.tree.allocateInos(1), name), groups);
}

/** A debugfs directory: files of size 0, root may open what the mode forbids, the newest entry is listed first. */
export function createDebugfsDir(parent: Dir, name: string, groups: readonly AttributeGroup[] = []): KobjectDir {
  return withGroups(parent, new KobjectDir(parent.tree.allocateInos(1), name, DEBUGFS, 0o755, 'newest'), groups);
}

function withGroups(parent: Dir, dir: KobjectDir, groups: readonly AttributeGroup[]): KobjectDir {
  parent.attach(dir);
  for (const group of groups) dir.addGroup(group);
  return dir;
}
