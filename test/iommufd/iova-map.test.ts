import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IovaMap, IOVA_MAX, lengthOf } from '../../src/iommufd/iova-map.js';
import type { IovaRange } from '../../src/iommufd/iova-map.js';

const range = (iova: bigint, last: bigint): IovaRange => ({ iova, last });

test('find() gives the range around an address, and nothing in a hole', () => {
  const map = new IovaMap<IovaRange>();
  const a = range(0x1000n, 0x1fffn);
  const b = range(0x3000n, 0x5fffn);
  map.insert(b);
  map.insert(a);
  for (const [iova, want] of [[0n, undefined], [0x1000n, a], [0x1fffn, a], [0x2000n, undefined], [0x3000n, b], [0x5fffn, b],
    [0x6000n, undefined], [IOVA_MAX, undefined]] as const) assert.equal(map.find(iova), want, `at ${iova}`);
});

test('insert() rejects any overlap with EEXIST and changes nothing', () => {
  const map = new IovaMap<IovaRange>();
  map.insert(range(0x1000n, 0x1fffn));
  for (const [iova, last] of [[0x1000n, 0x1fffn], [0n, 0x1000n], [0x1fffn, 0x2fffn], [0x1800n, 0x18ffn], [0n, IOVA_MAX]] as const) {
    assert.throws(() => map.insert(range(iova, last)), { code: 'EEXIST' });
  }
  assert.throws(() => map.insert(range(1n, 0n)), { code: 'EINVAL' });
  assert.equal(map.size, 1);
});

test('the last page and the whole space are ranges like any other', () => {
  const map = new IovaMap<IovaRange>();
  const end = range(IOVA_MAX - 0xfffn, IOVA_MAX);
  map.insert(end);
  assert.equal(map.find(IOVA_MAX), end);
  assert.deepEqual(map.overlapping(0n, IOVA_MAX), [end]);
  assert.deepEqual(map.covering(IOVA_MAX - 0xfffn, IOVA_MAX), [end]);
  assert.equal(map.delete(end), true);
  map.insert(range(0n, IOVA_MAX));
  assert.equal(lengthOf(map.first(0n, 0n) ?? end), 1n << 64n);
});

test('covering() wants no hole; overlapping() takes parts', () => {
  const map = new IovaMap<IovaRange>();
  for (const [iova, last] of [[0x1000n, 0x1fffn], [0x2000n, 0x2fffn], [0x4000n, 0x4fffn]] as const) map.insert(range(iova, last));
  assert.equal(map.covering(0x1800n, 0x2800n)?.length, 2);
  for (const [iova, last] of [[0xfffn, 0x1001n], [0x2000n, 0x3000n], [0x1000n, 0x4fffn], [0x3000n, 0x3fffn]] as const) {
    assert.equal(map.covering(iova, last), undefined);
  }
  assert.equal(map.overlapping(0x1fffn, 0x4000n).length, 3);
});

test('firstGap() skips what is taken and keeps the alignment', () => {
  const map = new IovaMap<IovaRange>();
  map.insert(range(0x1000n, 0x1fffn));
  map.insert(range(0x3000n, 0x3fffn));
  assert.equal(map.firstGap(0x1000n, 0x1000n, 0x1000n, IOVA_MAX), 0x2000n);
  assert.equal(map.firstGap(0x2000n, 0x1000n, 0x1000n, IOVA_MAX), 0x4000n);
  assert.equal(map.firstGap(0x1000n, 0x10000n, 0x1000n, IOVA_MAX), 0x10000n);
  assert.equal(map.firstGap(0x2000n, 0x1000n, 0x1000n, 0x4fffn), undefined);
});

test('thousands of ranges in any order behave as a sorted list', () => {
  const map = new IovaMap<IovaRange>();
  let seed = 1;
  const random = (n: number): number => (seed = Math.imul(seed, 1103515245) + 12345 >>> 0) % n;
  const model = new Map<number, IovaRange>();
  for (let i = 0; i < 20_000; i++) {
    const page = random(6000);
    const known = model.get(page);
    if (known === undefined) {
      const added = range(BigInt(page) << 12n, (BigInt(page) << 12n) + 0xfffn);
      model.set(page, added);
      map.insert(added);
    } else {
      model.delete(page);
      assert.equal(map.delete(known), true);
      assert.equal(map.delete(known), false);
    }
  }
  assert.equal(map.size, model.size);
  assert.deepEqual([...map.values()], [...model.keys()].sort((a, b) => a - b).map((page) => model.get(page)));
  for (let page = 0; page < 6000; page++) assert.equal(map.find((BigInt(page) << 12n) + 5n), model.get(page));
});
