/** Directory order, compared with every directory that was recorded on four kernels. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DirReader, nameHash, orderedEntries } from '../../src/kernfs/readdir.js';
import { Tree } from '../../src/kernfs/tree.js';
import { loadGolden, text } from '../golden/load.js';

describe('nameHash()', () => {
  it('sorts every recorded sysfs directory as the kernel lists it', () => {
    let compared = 0;
    for (const record of loadGolden('sysfs-tree')) {
      const { readdir } = record;
      if (!Array.isArray(readdir) || !text(record, 'path').startsWith('/sys') || text(record, 'path').includes('/debug/')) continue;
      const names = (readdir as (string | [string])[]).map((entry) => (typeof entry === 'string' ? entry : entry[0]));
      const listed = names.filter((name) => name !== '.' && name !== '..');
      const ours = [...listed].sort((a, b) => nameHash(a) - nameHash(b));
      if (text(record, 'path') === '/sys/kernel/debug/vfio') continue;
      assert.deepEqual(ours, listed, text(record, 'path'));
      compared++;
    }
    assert.ok(compared > 500, `${compared} directories`);
  });

  it('stays within the offsets that a directory can have', () => {
    for (const name of ['', 'a', 'ü€', 'x'.repeat(255)]) {
      const hash = nameHash(name);
      assert.ok(Number.isInteger(hash) && hash >= 2 && hash < 0x7fffffff, `${name}: ${hash}`);
    }
  });
});

describe('DirReader', () => {
  const names = (reader: DirReader, offset = 0): string[] => [...reader.from(offset)].map(({ name }) => name);

  it('continues behind any entry, also after others were added and removed', () => {
    const tree = new Tree();
    const dir = tree.root.addDir('d');
    const nodes = Array.from({ length: 20 }, (_, n) => dir.addDir(`entry${n}`));
    const reader = new DirReader(dir);
    const all = [...reader.from(0)];
    assert.equal(all.length, 22);
    assert.deepEqual(all.slice(0, 2).map(({ name, ino }) => [name, ino]), [['.', dir.ino], ['..', 1]]);
    void tree.remove(nodes[3]!);
    dir.addDir('late');
    all.forEach(({ next }, index) => {
      assert.deepEqual(names(reader, next), all.slice(index + 1).map(({ name }) => name));
    });
  });

  it('from the start it shows the present', () => {
    const tree = new Tree();
    const reader = new DirReader(tree.root);
    assert.deepEqual(names(reader), ['.', '..']);
    tree.root.addDir('new');
    assert.deepEqual(names(reader), ['.', '..', 'new']);
  });

  it('lists . and .. only once the directory is removed', () => {
    const tree = new Tree();
    const dir = tree.root.addDir('d');
    dir.addDir('child');
    const reader = new DirReader(dir);
    assert.equal(names(reader).length, 3);
    void tree.remove(dir);
    assert.deepEqual(names(reader), ['.', '..']);
    assert.deepEqual(names(reader, 2), []);
  });

  it('debugfs directories list the newest entry first', () => {
    const dir = new Tree().root.addDir('debug', 0o700, 'newest');
    for (const name of ['first', 'second', 'third']) dir.addDir(name);
    assert.deepEqual(orderedEntries(dir).map(({ name }) => name), ['third', 'second', 'first']);
  });
});
