/** The pool of ports that the types share, and what a card shows in its directory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { createDriver, DRIVER_NAMES } from '../../src/drivers/index.js';
import { createMttyDriver } from '../../src/drivers/mtty/index.js';
import type { AttributeRequest } from '../../src/sysfs/attribute.js';
import { fakeRequest } from '../fakes/caller.js';
import type { MdevIdentity, MdevParentOps, MdevTypeDescription } from '../../src/mdev/driver.js';

const identity = (notified: string[] = []): MdevIdentity => ({
  uuid: '11111111-1111-4111-8111-111111111111',
  log: () => undefined,
  notify: (attribute) => notified.push(attribute),
});

function typeOf(parent: MdevParentOps, name: string): MdevTypeDescription {
  const found = parent.types.find((type) => type.name === name);
  assert.ok(found);
  return found;
}

test('the types share one pool of 24 ports', () => {
  const parent = createMttyDriver().createParent(0);
  const [one, two] = [typeOf(parent, 'mtty-1'), typeOf(parent, 'mtty-2')];
  assert.deepEqual([parent.availableInstances(one), parent.availableInstances(two)], [24, 12]);
  const first = parent.probe(identity(), one);
  assert.deepEqual([parent.availableInstances(one), parent.availableInstances(two)], [23, 11]);
  const cards = Array.from({ length: 11 }, () => parent.probe(identity(), two));
  assert.deepEqual([parent.availableInstances(one), parent.availableInstances(two)], [1, 0]);
  assert.throws(() => parent.probe(identity(), two), (error) => isErrno(error, 'ENOSPC'));
  for (const card of [first, ...cards]) card.remove();
  assert.deepEqual([parent.availableInstances(one), parent.availableInstances(two)], [24, 12]);
});

test('a card has the sample attribute and migration_block, whose change is notified', async () => {
  const notified: string[] = [];
  const parent = createDriver('mtty').createParent(0);
  const card = parent.probe(identity(notified), typeOf(parent, 'mtty-1'));
  const [vendor, own] = card.groups;
  assert.ok(vendor && own);
  assert.equal(vendor.name, 'vendor');
  const request = fakeRequest() as unknown as AttributeRequest;
  assert.equal(await vendor.attributes[0]?.show?.(vendor.owner, request), 'This is MDEV 11111111-1111-4111-8111-111111111111\n');
  const block = own.attributes.find(({ name }) => name === 'migration_block');
  await block?.store?.(own.owner, Buffer.from('1\n'), request);
  assert.equal(await block?.show?.(own.owner, request), '1\n');
  assert.deepEqual(notified, ['migration_block']);
  assert.deepEqual(card.debugfs?.vfio?.map(({ name }) => name), ['migration']);
});

test('createDriver() rejects an unknown name with a sentence', () => {
  assert.deepEqual(DRIVER_NAMES, ['mtty', 'gvt', 'vfio_ap']);
  assert.throws(() => createDriver('nope'), /unknown driver 'nope': use mtty, gvt, vfio_ap/);
});
