/** sys/kernel/debug: directories per object, made from attribute groups. Source: fs/debugfs/inode.c. */
import type { Dir } from '../kernfs/dir.js';
import { DEBUGFS } from '../sysfs/attribute-node.js';
import type { AttributeGroup } from '../sysfs/group.js';
import { LazyDir, Members } from './lazy-dir.js';
import { GroupSource } from './layout.js';

/** How an object is shown in sys/kernel/debug/<subsystem>/. */
export interface DebugView<T> {
  /** Number of the directory; those of its groups come after it. */
  ino(item: T): number;
  /** ms since the epoch. */
  born(item: T): number;
  groups(item: T): readonly AttributeGroup[];
}

/** A new sys/kernel/debug/<name> with one directory per member. `debugfs` is Machine.debugfs. */
export function debugDirectory<T extends object>(debugfs: Dir, name: string, view: DebugView<T>): Members<T> {
  const entries = new Members<T>('dir', (item) => view.ino(item), (ino, entryName, item) => {
    const source = new GroupSource(() => view.groups(item), ino + 1, DEBUGFS, 'newest');
    return new LazyDir(ino, entryName, [source], { born: view.born(item), order: 'newest' });
  });
  const ino = debugfs.tree.allocateInos(1);
  debugfs.attach(new LazyDir(ino, name, [entries], { born: Date.now(), order: 'newest' }));
  return entries;
}
