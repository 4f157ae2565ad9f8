/** Lazy directories: children are made when looked up, keep their numbers, and go when forgotten unless somebody needs them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LazyDir, Members } from '../../src/device/lazy-dir.js';
import { attribute, directory, GroupSource, groupSpan, Layout, LayoutSource, link } from '../../src/device/layout.js';
import { Symlink } from '../../src/kernfs/symlink.js';
import { Tree } from '../../src/kernfs/tree.js';
import { ro } from '../../src/sysfs/attribute.js';
import { bindGroup } from '../../src/sysfs/group.js';
import { request } from '../mdev/bench.js';
import { AttributeNode } from '../../src/sysfs/attribute-node.js';

interface Owner {
  shown: boolean;
}

const INNER = new Layout<Owner>([attribute(ro('deep', () => 'deep\n')), link('up', () => '../there')]);
const OUTER = new Layout<Owner>([
  attribute(ro('always', () => 'a\n')),
  attribute(ro('sometimes', () => 's\n'), ({ shown }) => shown),
  directory('inner', INNER, ({ shown }) => shown),
]);

function build(): { tree: Tree; owner: Owner; dir: LazyDir } {
  const tree = new Tree();
  const owner = { shown: true };
  const groups = [
    bindGroup(owner, [ro('own', () => 'o\n')]),
    bindGroup(owner, [ro('one', () => '1\n'), ro('two', () => '2\n')], 'named'),
  ];
  const ino = tree.allocateInos(1 + OUTER.span + groupSpan(groups));
  const sources = [new LayoutSource(OUTER, owner, ino + 1), new GroupSource(() => groups, ino + 1 + OUTER.span)];
  return { tree, owner, dir: tree.root.attach(new LazyDir(ino, 'object', sources, { born: 5 })) };
}

describe('LazyDir', () => {
  it('lists and finds what its sources name, each child with a number of its own', () => {
    const { dir } = build();
    assert.deepEqual(dir.entries().map(({ name }) => name).sort(), ['always', 'inner', 'named', 'own', 'sometimes']);
    assert.equal(dir.nlink, 4);
    const all = [...dir.entries(), ...['inner', 'named'].flatMap((name) => (dir.lookup(name) as LazyDir).entries())];
    assert.equal(new Set(all.map(({ ino }) => ino)).size, all.length);
    assert(dir.find('inner/up') instanceof Symlink);
    assert.equal(dir.find('named/two')?.born, 5);
  });

  it('gives the same object until it is forgotten, then another one with the same number', () => {
    const { dir } = build();
    const first = dir.lookup('always');
    assert.equal(dir.lookup('always'), first);
    first?.forgotten();
    const second = dir.lookup('always');
    assert.notEqual(second, first);
    assert.equal(second?.ino, first?.ino);
  });

  it('keeps what was changed, what is open, and directories with children that are needed', async () => {
    const { dir } = build();
    const changed = dir.lookup('always');
    changed?.setAttributes({ mode: 0o400 });
    changed?.forgotten();
    assert.equal(dir.lookup('always'), changed);
    const open = dir.lookup('own') as AttributeNode;
    const file = open.open(request(0));
    open.forgotten();
    assert.equal(dir.lookup('own'), open);
    file.release();
    const inner = dir.lookup('inner') as LazyDir;
    const deep = inner.lookup('deep');
    inner.forgotten();
    assert.equal(dir.lookup('inner'), inner);
    deep?.forgotten();
    inner.forgotten();
    assert.notEqual(dir.lookup('inner'), inner);
  });

  it('refresh() removes what no source names any more, with everything below', () => {
    const { tree, owner, dir } = build();
    const detached: string[] = [];
    tree.observer = { detached: (node) => detached.push(node.name) };
    const deep = dir.find('inner/deep');
    const sometimes = dir.lookup('sometimes');
    const always = dir.lookup('always');
    owner.shown = false;
    assert.equal(dir.lookup('inner'), deep?.parent, 'still there until refresh()');
    void dir.refresh();
    assert.deepEqual([deep?.removed, sometimes?.removed, always?.removed], [true, true, false]);
    assert.deepEqual(detached.sort(), ['inner', 'sometimes']);
    assert.equal(dir.lookup('inner'), undefined);
    assert.equal(dir.nlink, 3);
  });

  it('a child that was removed by itself does not come back', () => {
    const { tree, dir } = build();
    const own = dir.lookup('own');
    assert(own !== undefined);
    void tree.remove(own);
    assert.equal(dir.lookup('own'), undefined);
    assert(!dir.entries().some(({ name }) => name === 'own'));
  });

  it('notify() wakes those who poll an attribute, also in a group', () => {
    const { dir } = build();
    const two = dir.find('named/two') as AttributeNode;
    const file = two.open(request(0));
    void file.read(request(0), 0, 10);
    let woken = 0;
    file.poll(request(0), () => woken++);
    dir.notify('named/two');
    dir.notify('nothing/here');
    assert.equal(woken, 1);
  });
});

describe('Members', () => {
  it('delete() takes a member out of a directory that shows it, and tells the observer only of nodes that exist', () => {
    const tree = new Tree();
    const detached: string[] = [];
    tree.observer = { detached: (node) => detached.push(node.name) };
    const members = new Members<{ ino: number }>('symlink', ({ ino }) => ino, (ino, name) => new Symlink(ino, name, 'x'));
    const dir = tree.root.attach(new LazyDir(tree.allocateInos(1), 'list', [members]));
    const first = tree.allocateInos(3);
    for (let n = 0; n < 3; n++) members.add(String(n), { ino: first + n });
    const node = dir.lookup('1');
    assert.throws(() => members.add('1', { ino: 9 }));
    void members.delete('1');
    void members.delete('2');
    void members.delete('7');
    assert.equal(node?.removed, true);
    assert.deepEqual(detached, ['1']);
    assert.deepEqual(dir.entries().map(({ name }) => name), ['0']);
  });
});
