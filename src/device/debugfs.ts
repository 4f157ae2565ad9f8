/** sys/kernel/debug: directories per object, made from attribute groups. Source: fs/debugfs/inode.c. */
import type { Dir } from '../kernfs/dir.js';
import { DEBUGFS } from '../sysfs/attribute-node.js';
import type { AttributeGroup } from '../sysfs/group.js';
import { LazyDir, Members } from './lazy-dir.js';
import { GroupSource } from './layout.js';

/** What a directory below sys/kernel/debug/<subsystem>/ shows. */
export interface DebugEntry {
  /** Of the directory; its groups have the numbers after it. */
  readonly ino: number;
  readonly born: number;
  groups(): readonly AttributeGroup[];
}

export type DebugDirectory = Members<DebugEntry>;

/** sys/kernel/debug/<name>: one directory per entry. */
export function debugDirectory(debugfs: Dir, name: string): DebugDirectory {
  const entries = new Members<DebugEntry>('dir', (entry) => entry.ino, (ino, entryName, entry) => {
    const source = new GroupSource(() => entry.groups(), ino + 1, DEBUGFS, 'newest');
    return new LazyDir(ino, entryName, [source], { born: entry.born, order: 'newest' });
  });
  const ino = debugfs.tree.allocateInos(1);
  debugfs.attach(new LazyDir(ino, name, [entries], { born: Date.now(), order: 'newest' }));
  return entries;
}
