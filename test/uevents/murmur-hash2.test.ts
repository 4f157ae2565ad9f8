import assert from 'node:assert/strict';
import { test } from 'node:test';
import { murmurHash2 } from '../../src/uevents/murmur-hash2.js';

/** `mdev` is what udev's library on Debian 12 filters by (udevadm monitor --subsystem-match=mdev); the others: the reference in C. */
const VECTORS: readonly (readonly [string, number])[] = [
  ['', 0x00000000],
  ['a', 0x92685f5e],
  ['ab', 0x1aa14063],
  ['abc', 0x13577c9b],
  ['mdev', 0xbb5211c7],
  ['vfio', 0x9cba94c3],
  ['vfio-dev', 0x573b34c1],
  ['net_device', 0xa4d35399],
  ['été', 0xbcbed0fe],
];

for (const [text, hash] of VECTORS) {
  test(`murmurHash2("${text}")`, () => assert.equal(murmurHash2(Buffer.from(text)), hash));
}
