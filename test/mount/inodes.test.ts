import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tree } from '../../src/kernfs/tree.js';
import { ClientView } from '../../mount/encode.js';
import { Inodes } from '../../mount/inodes.js';
import { parseMountInfo } from '../../mount/mountinfo.js';

test('a node is held until as many lookups are forgotten as were answered', () => {
  const tree = new Tree();
  const node = tree.root.addDir('dir');
  const inodes = new Inodes(tree.root);
  inodes.remember(node);
  inodes.remember(node);
  inodes.forget(node.ino, 1);
  assert.equal(inodes.get(node.ino), node);
  inodes.forget(node.ino, 1);
  assert.equal(inodes.get(node.ino), undefined);
});

test('the root is always held', () => {
  const tree = new Tree();
  const inodes = new Inodes(tree.root);
  inodes.forget(1, 100);
  inodes.clear();
  assert.equal(inodes.get(1), tree.root);
});

test('a forgotten node is told so', () => {
  const tree = new Tree();
  const node = tree.root.addDir('dir');
  const told: number[] = [];
  node.forgotten = (): void => { told.push(node.ino); };
  const inodes = new Inodes(tree.root);
  inodes.remember(node);
  inodes.clear();
  assert.deepEqual(told, [node.ino]);
});

test('inode numbers of a lab are told from others', () => {
  const view = new ClientView();
  assert.equal(view.inside(view.outside(42)), 42);
  assert.equal(view.inside(42), undefined);
  assert.ok(Number.isSafeInteger(view.outside(0xffffffff)));
});

test('labs are found in a mountinfo file, with blanks in their names', () => {
  const text = '24 1 0:22 / /sys rw,relatime - sysfs sysfs rw\n'
    + '90 1 0:50 / /tmp/my\\040lab rw,nosuid shared:3 - fuse.mdevsim mdevsim rw,user_id=0\n'
    + '91 1 0:51 / /tmp/other rw - fuse.sshfs x rw\n';
  assert.deepEqual(parseMountInfo(text), [{ dir: '/tmp/my lab', root: '/' }]);
});
