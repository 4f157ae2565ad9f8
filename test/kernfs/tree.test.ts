/** The node tree: attaching, removal, links, inode numbers, the observer. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { Dir } from '../../src/kernfs/dir.js';
import type { Node } from '../../src/kernfs/node.js';
import { Tree } from '../../src/kernfs/tree.js';

const fails = (code: Parameters<typeof isErrno>[1]) => (error: unknown) => isErrno(error, code);

describe('Tree', () => {
  it('finds what was attached, by path', () => {
    const tree = new Tree();
    const leaf = tree.root.addDir('a').addDir('b');
    assert.equal(tree.root.find('a/b'), leaf);
    assert.equal(tree.root.find('/a//b/'), leaf);
    assert.equal(tree.root.find('a/c'), undefined);
    assert.equal(leaf.path, '/a/b');
    assert.equal(leaf.tree, tree);
  });

  it('attach() rejects a taken name with EEXIST and a removed directory with ENOENT', () => {
    const tree = new Tree();
    const dir = tree.root.addDir('a');
    assert.throws(() => tree.root.addDir('a'), fails('EEXIST'));
    void tree.remove(dir);
    assert.throws(() => dir.addDir('b'), fails('ENOENT'));
  });

  it('ensureDir() makes a directory once', () => {
    const tree = new Tree();
    const dir = tree.root.ensureDir('a');
    assert.equal(tree.root.ensureDir('a'), dir);
    tree.addSymlink(tree.root, 'link', 'x');
    assert.throws(() => tree.root.ensureDir('link'), fails('EEXIST'));
  });

  it('never gives an inode number twice, also to a node of the same name', () => {
    const tree = new Tree();
    const seen = new Set<number>([tree.root.ino]);
    for (let round = 0; round < 3; round++) {
      const dir = tree.root.addDir('again');
      assert.ok(!seen.has(dir.ino));
      seen.add(dir.ino);
      void tree.remove(dir);
    }
  });

  it('counts subdirectories, not links, in nlink', () => {
    const tree = new Tree();
    const dir = tree.root.addDir('a');
    assert.equal(dir.nlink, 2);
    const sub = dir.addDir('b');
    tree.addSymlink(dir, 'l', sub);
    assert.equal(dir.nlink, 3);
    void tree.remove(sub);
    assert.equal(dir.nlink, 2);
  });

  it('remove() marks everything below and keeps parents and names', () => {
    const tree = new Tree();
    const dir = tree.root.addDir('a');
    const leaf = dir.addDir('b').addDir('c');
    assert.equal(tree.remove(dir), undefined);
    assert.ok(dir.removed && leaf.removed);
    assert.equal(tree.root.lookup('a'), undefined);
    assert.equal(leaf.path, '/a/b/c');
    assert.equal(tree.remove(dir), undefined, 'again');
  });

  it('tells the observer once per change, for the top of a removed subtree', () => {
    const tree = new Tree();
    const seen: string[] = [];
    const note = (what: string) => (node: Node) => seen.push(`${what} ${node.path}`);
    tree.observer = { attached: note('attached'), detached: note('detached'), changed: note('changed') };
    const dir = tree.root.addDir('a');
    dir.addDir('b').setAttributes({ mode: 0o700 });
    void tree.remove(dir);
    void tree.remove(dir);
    assert.deepEqual(seen, ['attached /a', 'attached /a/b', 'changed /a/b', 'detached /a']);
  });

  it('remove() waits until no operation runs on any of the nodes', async () => {
    const tree = new Tree();
    const dir = tree.root.addDir('a');
    const leaf = dir.addDir('b');
    tree.active.get(leaf);
    tree.active.get(leaf);
    const seen: string[] = [];
    const removed = tree.remove(dir)?.then(() => seen.push('removed'));
    assert.ok(removed !== undefined && leaf.removed);
    tree.active.put(leaf);
    await Promise.resolve();
    seen.push('last operation ends');
    tree.active.put(leaf);
    await removed;
    assert.deepEqual(seen, ['last operation ends', 'removed']);
  });
});

describe('Symlink', () => {
  it('has the relative path to its target, as kernfs_get_target_path()', () => {
    const tree = new Tree();
    const sys = tree.root.addDir('sys');
    const device = sys.addDir('devices').addDir('virtual').addDir('mtty');
    const bus = sys.addDir('bus').addDir('mdev');
    const rows: [Dir, Node, string][] = [
      [device, bus, '../../../bus/mdev'],
      [bus, device, '../../devices/virtual/mtty'],
      [device, device.addDir('sub'), 'sub'],
      [device.addDir('power'), device, '../../mtty'],
    ];
    rows.forEach(([parent, target, expected], index) => {
      assert.equal(tree.addSymlink(parent, `link${index}`, target).target, expected);
    });
  });

  it('keeps a text as it is, and a target that was removed', () => {
    const tree = new Tree();
    const dir = tree.root.addDir('a');
    const link = tree.addSymlink(tree.root, 'l', dir);
    void tree.remove(dir);
    assert.equal(link.target, 'a');
    assert.equal(tree.addSymlink(tree.root, 't', '/x/y').target, '/x/y');
  });
});

describe('attributes of nodes', () => {
  it('setAttributes() keeps what is not given and drops type bits from the mode', () => {
    const tree = new Tree();
    const dir = tree.root.addDir('a');
    const before = dir.stat();
    dir.setAttributes({ mode: 0o100700, uid: 5 });
    const { mode, uid, gid, atime, ctime } = dir.stat();
    assert.deepEqual([mode, uid, gid, atime], [0o040700, 5, 0, before.atime]);
    assert.ok(ctime >= before.ctime);
    dir.setAttributes({ atime: 7n, mtime: 9n });
    assert.deepEqual([dir.stat().atime, dir.stat().mtime, dir.uid], [7n, 9n, 5]);
  });

  it('only a changed node counts as changed', () => {
    const dir = new Tree().root.addDir('a');
    assert.equal(dir.changed, false);
    dir.setAttributes({});
    assert.equal(dir.changed, true);
  });
});
