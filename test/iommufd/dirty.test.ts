import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeDirtyBitmap } from '../../src/iommufd/dirty-bitmap.js';
import { DirtyLog } from '../../src/iommufd/dirty-log.js';
import { DmaPort, IovaSpace } from '../../src/iommufd/dma-space.js';
import { IOVA_MAX, IOVA_READ, IOVA_WRITE } from '../../src/iommufd/iova-map.js';
import { SparseMemory } from './memory.js';

const PAGE = 4096n;
const pages = (log: DirtyLog, iova = 0n, length = 1n << 64n): bigint[] => {
  const found: bigint[] = [];
  log.forEach(iova, length, (at, bytes) => {
    for (let page = at; page < at + bytes; page += PAGE) found.push(page);
  });
  return found;
};

test('DirtyLog marks every page that was touched, and no other', () => {
  const log = new DirtyLog();
  log.mark(0xfffn, 2n);
  log.mark(IOVA_MAX, 1n);
  log.mark(0x8000_0000n - 1n, 2n);
  log.mark(0x5000n, 0n);
  assert.deepEqual(pages(log), [0n, 0x1000n, 0x7fff_f000n, 0x8000_0000n, IOVA_MAX - 0xfffn]);
  assert.equal(log.count, 5);
  assert.deepEqual(pages(log, 0x1000n, 0x8000_0000n - 0x1000n), [0x1000n, 0x7fff_f000n]);
});

test('DirtyLog clears exactly the pages of the range', () => {
  const log = new DirtyLog();
  log.mark(0n, 100n * PAGE);
  log.clear(10n * PAGE, 80n * PAGE);
  assert.equal(log.count, 20);
  log.clear(0n, 1n << 64n);
  assert.equal(log.empty, true);
});

test('DirtyLog agrees with a plain set', () => {
  const log = new DirtyLog();
  const model = new Set<number>();
  let seed = 7;
  const random = (n: number): number => (seed = Math.imul(seed, 1103515245) + 12345 >>> 0) % n;
  for (let i = 0; i < 3000; i++) {
    const first = random(70_000);
    const count = 1 + random(200);
    const set = random(3) > 0;
    for (let page = first; page < first + count; page++) {
      if (set) model.add(page);
      else model.delete(page);
    }
    if (set) log.mark(BigInt(first) * PAGE, BigInt(count) * PAGE);
    else log.clear(BigInt(first) * PAGE, BigInt(count) * PAGE);
  }
  assert.equal(log.count, model.size);
  assert.deepEqual(pages(log), [...model].sort((a, b) => a - b).map((page) => BigInt(page) * PAGE));
});

test('mergeDirtyBitmap() only sets bits; NO_CLEAR keeps the log', async () => {
  const log = new DirtyLog();
  const memory = new SparseMemory();
  memory.write(0x10000n, Uint8Array.of(0x80, 0, 0x01));
  log.mark(PAGE, PAGE);
  log.mark(17n * PAGE, PAGE);
  const target = { memory, address: 0x10000n, iova: 0n, length: 24n * PAGE, pageShift: 12 };
  await mergeDirtyBitmap(log, target, { clear: false });
  assert.deepEqual([...memory.read(0x10000n, 3)], [0x82, 0, 0x03]);
  assert.equal(log.count, 2);
  await mergeDirtyBitmap(log, target, { clear: true });
  assert.equal(log.empty, true);
});

for (const pageShift of [9, 12, 13, 16, 21]) {
  test(`mergeDirtyBitmap() gives each ${2 ** pageShift} bytes a bit`, async () => {
    const log = new DirtyLog();
    const base = 0x4000_0000n;
    const length = 512n << 20n;
    const memory = new SparseMemory();
    const want = new Set<bigint>();
    for (const offset of [0n, 0x3000n, 0x1fffffn, 0x200000n, 128n << 20n, (128n << 20n) - 1n, length - 1n]) {
      log.mark(base + offset, 1n);
      // The log knows whole pages: a bit that stands for less is set for all of the page.
      const page = offset / PAGE * PAGE;
      for (let at = page; at < page + PAGE; at += 1n << BigInt(Math.min(pageShift, 12))) want.add(at >> BigInt(pageShift));
    }
    await mergeDirtyBitmap(log, { memory, address: 0x100000n, iova: base, length, pageShift }, { clear: false });
    const bits = memory.read(0x100000n, Number(length >> BigInt(pageShift)) / 8);
    const found = new Set<bigint>();
    bits.forEach((byte, at) => {
      for (let bit = 0; bit < 8; bit++) if ((byte >> bit & 1) === 1) found.add(BigInt(at * 8 + bit));
    });
    assert.deepEqual(found, want);
  });
}

test('the bitmap of 8 TiB is written only where it is dirty, and lets other work run in between', async () => {
  const log = new DirtyLog();
  log.mark(7n << 40n, 1n);
  const memory = new SparseMemory();
  const target = { memory, address: 0x10000000n, iova: 0n, length: 8n << 40n, pageShift: 12 };
  await mergeDirtyBitmap(log, target, { clear: false });
  assert.ok(memory.written <= 4096, `${memory.written} bytes written`);
  for (let at = 0n; at < 8n << 40n; at += 1n << 30n) log.mark(at, 1n);
  let turns = 0;
  const count = (): void => {
    turns++;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  await mergeDirtyBitmap(log, target, { clear: true });
  clearImmediate(timer);
  assert.ok(turns > 3, `${turns} turns of the event loop`);
  assert.equal(log.empty, true);
});

test('a page is forgotten only when its bit has reached the client', async () => {
  const log = new DirtyLog();
  log.mark(0n, PAGE);
  const target = { memory: new SparseMemory(0x2000n), address: 0x2000n, iova: 0n, length: PAGE, pageShift: 12 };
  assert.throws(() => mergeDirtyBitmap(log, target, { clear: true }), { code: 'EFAULT' });
  assert.equal(log.count, 1);
});

test('DmaPort reads and writes through adjacent mappings and marks all logs', () => {
  const port = new DmaPort();
  const space = new IovaSpace();
  const memory = new SparseMemory();
  space.maps.insert({ iova: 0x1000n, last: 0x1fffn, memory, vaddr: 0x9000n, prot: IOVA_READ | IOVA_WRITE });
  space.maps.insert({ iova: 0x2000n, last: 0x2fffn, memory, vaddr: 0x5000n, prot: IOVA_READ | IOVA_WRITE });
  space.maps.insert({ iova: 0x3000n, last: 0x3fffn, memory, vaddr: 0x7000n, prot: IOVA_READ });
  assert.throws(() => port.read(0x1000n, 1), { code: 'EFAULT' }, 'attached to nothing');
  port.space = space;
  const logs = [new DirtyLog(), new DirtyLog()] as const;
  space.logs.add(logs[0]);
  port.logs.add(logs[1]);
  port.write(0x1ffen, Uint8Array.of(1, 2, 3, 4));
  assert.deepEqual([...memory.read(0x9ffen, 2), ...memory.read(0x5000n, 2)], [1, 2, 3, 4]);
  assert.deepEqual([...port.read(0x1ffdn, 6)], [0, 1, 2, 3, 4, 0]);
  for (const log of logs) assert.deepEqual(pages(log), [0x1000n, 0x2000n]);
  assert.throws(() => port.write(0x2fffn, Uint8Array.of(9, 9)), { code: 'EFAULT' }, 'read-only');
  assert.throws(() => port.read(0x3fffn, 2), { code: 'EFAULT' }, 'hole');
  assert.throws(() => port.read(IOVA_MAX, 2), { code: 'EFAULT' }, 'wrap');
  assert.deepEqual([...memory.read(0x5fffn, 1)], [0], 'a refused write changes nothing');
  assert.equal(logs[0].count, 2);
});
