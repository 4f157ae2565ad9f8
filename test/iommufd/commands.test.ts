import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno, isErrno } from '../../src/abi/errno.js';
import type { ErrnoName } from '../../src/abi/errno.js';
import * as abi from '../../src/abi/iommufd.js';
import { KERNEL_PROFILES } from '../../src/abi/kernel-profile.js';
import type { KernelVersion } from '../../src/abi/kernel-profile.js';
import { u32 } from '../../src/abi/layout.js';
import { DmaPort } from '../../src/iommufd/dma-space.js';
import { IommufdFile, IOMMUFD_COMMANDS } from '../../src/iommufd/main.js';
import { FakeCaller, fakeRequest } from '../fakes/caller.js';
import { Client } from './client.js';

/** What an all-zero struct of the right size answers: no id 0 exists, and a few commands take any id. */
const ALL_ZERO: Record<string, ErrnoName | 'ok'> = {
  IOMMU_DESTROY: 'ENOENT', IOMMU_IOAS_ALLOC: 'ok', IOMMU_IOAS_ALLOW_IOVAS: 'ENOENT', IOMMU_IOAS_COPY: 'EINVAL',
  IOMMU_IOAS_IOVA_RANGES: 'ENOENT', IOMMU_IOAS_MAP: 'EINVAL', IOMMU_IOAS_UNMAP: 'ENOENT', IOMMU_OPTION: 'ok', IOMMU_VFIO_IOAS: 'ENODEV',
  IOMMU_HWPT_ALLOC: 'ENOENT', IOMMU_GET_HW_INFO: 'ENOENT', IOMMU_HWPT_SET_DIRTY_TRACKING: 'ENOENT', IOMMU_HWPT_GET_DIRTY_BITMAP: 'ENOENT',
  IOMMU_HWPT_INVALIDATE: 'ENOENT', IOMMU_FAULT_QUEUE_ALLOC: 'ok',
};

const NEWER = new Set(abi.IOMMUFD_NEWER_COMMANDS.map(({ number }) => number));
const COMMANDS = [...IOMMUFD_COMMANDS.values()].filter(({ number }) => !NEWER.has(number));

async function answer(number: number, data: Uint8Array, map = true, kernel: KernelVersion = '6.12'): Promise<ErrnoName | 'ok'> {
  const caller = new FakeCaller();
  const file = new IommufdFile({ profile: KERNEL_PROFILES[kernel] });
  const address = map ? caller.allocate(data) : 0x10n;
  try {
    await file.ioctl(fakeRequest(caller), number, address);
    return 'ok';
  } catch (error) {
    if (isErrno(error)) return error.code;
    throw error;
  }
}

/** A zero struct that claims `size` bytes and has that many. */
function claim(size: number, last = 0): Uint8Array {
  const data = new Uint8Array(Math.max(size, 8));
  u32.set(new DataView(data.buffer), 0, size);
  if (last !== 0) data[size - 1] = last;
  return data;
}

test('the table has every IOMMU_ number of the header, once, under its name', () => {
  assert.equal(COMMANDS.length, 15);
  for (const { name, number } of COMMANDS) assert.equal((abi as Record<string, unknown>)[name], number, name);
});

for (const row of COMMANDS) {
  const zero = ALL_ZERO[row.name];
  test(`${row.name} takes its struct exact, longer with zeros, and shorter down to the minimum`, async () => {
    assert.equal(await answer(row.number, claim(row.size)), zero);
    assert.equal(await answer(row.number, claim(row.size + 100)), zero);
    assert.equal(await answer(row.number, claim(row.minimum)), zero);
  });
  test(`${row.name} rejects a size below the minimum with EINVAL`, async () => {
    assert.equal(await answer(row.number, claim(row.minimum - 1)), 'EINVAL');
    assert.equal(await answer(row.number, claim(0)), 'EINVAL');
  });
  test(`${row.name} rejects a non-zero tail with E2BIG`, async () => {
    assert.equal(await answer(row.number, claim(row.size + 1, 1)), 'E2BIG');
    assert.equal(await answer(row.number, claim(row.size + 8192, 1)), 'E2BIG');
  });
  test(`${row.name} rejects memory that is not there with EFAULT`, async () => {
    assert.equal(await answer(row.number, claim(row.size), false), 'EFAULT');
    const short = claim(row.size).subarray(0, row.size - 4);
    u32.set(new DataView(short.buffer), 0, row.size);
    assert.equal(await answer(row.number, short), 'EFAULT');
    const huge = claim(row.size);
    u32.set(new DataView(huge.buffer), 0, 0xffff_ffff);
    assert.equal(await answer(row.number, huge), 'EFAULT');
  });
  test(`${row.name} with direction bits is another command: ENOTTY`, async () => {
    assert.equal(await answer((row.number | 0xc0080000) >>> 0, claim(row.size)), 'ENOTTY');
  });
}

test('numbers that 6.12 does not have answer ENOTTY without looking at the argument', async () => {
  for (const nr of [0x00, 0x63, 0x7f, 0x8f, 0x90, 0x94, 0xff]) assert.equal(await answer(0x3b00 | nr, claim(8), false), 'ENOTTY');
});

for (const { name, number, minimum } of abi.IOMMUFD_NEWER_COMMANDS) {
  test(`${name} is EOPNOTSUPP in 7.2, after a look at the size`, async () => {
    assert.equal(await answer(number, claim(minimum), true, '7.2'), 'EOPNOTSUPP');
    assert.equal(await answer(number, claim(minimum - 1), true, '7.2'), 'EINVAL');
    assert.equal(await answer(number, claim(minimum), false, '7.2'), 'EFAULT');
  });
}

test('numbers that 7.2 does not have answer ENOTTY', async () => {
  for (const nr of [0x00, 0x7f, 0x95, 0xff]) assert.equal(await answer(0x3b00 | nr, claim(8), false, '7.2'), 'ENOTTY');
});

test('IOAS_ALLOC gives nothing away when the reply can not be written', async () => {
  const client = new Client();
  const data = abi.iommu_ioas_alloc.encode({ size: abi.iommu_ioas_alloc.size });
  await assert.rejects(client.raw(abi.IOMMU_IOAS_ALLOC, client.caller.allocate(data, false)), { code: 'EFAULT' });
  assert.equal(client.file.context.objects.empty, true);
  assert.equal((await client.run(abi.IOMMU_IOAS_ALLOC, abi.iommu_ioas_alloc, {})).out_ioas_id, 1);
});

test('ids are the lowest free ones', async () => {
  const client = new Client();
  const ids = [await client.ioas(), await client.ioas(), await client.ioas()];
  assert.deepEqual(ids, [1, 2, 3]);
  await client.destroy(2);
  await client.destroy(1);
  assert.deepEqual([await client.ioas(), await client.ioas(), await client.ioas()], [1, 2, 4]);
});

test('IOAS_MAP flags, alignment and overlap', async () => {
  const client = new Client();
  const ioas = await client.ioas();
  const user = client.caller.allocate(0x10000);
  const map = (flags: number, iova: bigint, length: bigint, more = {}): Promise<unknown> =>
    client.run(abi.IOMMU_IOAS_MAP, abi.iommu_ioas_map, { flags, ioas_id: ioas, user_va: user, iova, length, ...more });
  await map(7, 0x10000n, 0x2000n);
  await assert.rejects(map(7, 0x11000n, 0x1000n), { code: 'EEXIST' });
  await assert.rejects(map(8 | 7, 0x20000n, 0x1000n), { code: 'EOPNOTSUPP' });
  await assert.rejects(map(7, 0x20000n, 0x1000n, { __reserved: 1 }), { code: 'EOPNOTSUPP' });
  await assert.rejects(map(1, 0x20000n, 0x1000n), { code: 'EINVAL' });
  await assert.rejects(map(7, 0x20000n, 0n), { code: 'EINVAL' });
  await assert.rejects(map(7, 0xffff_ffff_ffff_ffffn, 0x1000n), { code: 'EOVERFLOW' });
  await assert.rejects(map(7, 0xffff_ffff_ffff_f000n, 0x2000n), { code: 'EOVERFLOW' });
  await assert.rejects(map(7, 0x20000n, 0x1000n, { ioas_id: 77 }), { code: 'ENOENT' });
  await map(7, 0xffff_ffff_ffff_f000n, 0x1000n);
  // Nothing is attached: any byte range is fine, and then attaching is not.
  await map(7, 0x20001n, 100n);
  assert.throws(() => client.file.context.bind(new DmaPort()).attach(client.file.context.objects, ioas), { code: 'EADDRINUSE' });
});

test('IOAS_MAP without FIXED_IOVA chooses a free address inside the allowed ranges', async () => {
  const client = new Client();
  const ioas = await client.ioas();
  const user = client.caller.allocate(0x10000);
  const map = async (): Promise<bigint> =>
    (await client.run(abi.IOMMU_IOAS_MAP, abi.iommu_ioas_map, { flags: 6, ioas_id: ioas, user_va: user, length: 0x2000n })).iova;
  assert.equal(await map(), 0x1000n);
  assert.equal(await map(), 0x3000n);
  const ranges = client.caller.allocate(Uint8Array.from([
    ...abi.iommu_iova_range.encode({ start: 0x4000n, last: 0x6fffn }), ...abi.iommu_iova_range.encode({ start: 0x100000n, last: 0x101fffn }),
  ]));
  const allow = (num: number, address: bigint): Promise<unknown> =>
    client.run(abi.IOMMU_IOAS_ALLOW_IOVAS, abi.iommu_ioas_allow_iovas, { ioas_id: ioas, num_iovas: num, allowed_iovas: address });
  await allow(2, ranges);
  assert.equal(await map(), 0x5000n);
  assert.equal(await map(), 0x100000n);
  await assert.rejects(map(), { code: 'ENOSPC' });
  await assert.rejects(allow(0xffff_ffff, ranges), { code: 'EFAULT' });
  const twice = client.caller.allocate(Uint8Array.from([
    ...abi.iommu_iova_range.encode({ start: 0n, last: 0xfffn }), ...abi.iommu_iova_range.encode({ start: 0xfffn, last: 0x2000n }),
  ]));
  await assert.rejects(allow(2, twice), { code: 'EINVAL' });
  await assert.rejects(map(), { code: 'ENOSPC' }, 'a refused list changes nothing');
});

test('IOAS_COPY maps the same memory again, and never more than was given', async () => {
  const client = new Client();
  const [from, to] = [await client.ioas(), await client.ioas()];
  const user = client.caller.allocate(Uint8Array.from({ length: 0x3000 }, (_, n) => n >> 8));
  await client.map(from, user, 0x1000n, 0x10000n);
  await client.map(from, user + 0x1000n, 0x2000n, 0x11000n, abi.IOMMU_IOAS_MAP_READABLE);
  const copy = (length: bigint, flags: number, src = 0x10000n): Promise<{ dst_iova: bigint }> => client.run(abi.IOMMU_IOAS_COPY, abi.iommu_ioas_copy,
    { flags: flags | 1, src_ioas_id: from, dst_ioas_id: to, src_iova: src, dst_iova: 0x50000n, length });
  await assert.rejects(copy(0x4000n, 4), { code: 'ENOENT' });
  await assert.rejects(copy(0x3000n, 2), { code: 'EPERM' });
  await assert.rejects(copy(0n, 4), { code: 'EINVAL' });
  await copy(0x2800n, 4);
  const port = new DmaPort();
  const device = client.file.context.bind(port);
  await client.destroy(from);
  await assert.rejects(async () => device.attach(client.file.context.objects, to), { code: 'EADDRINUSE' }, '0x2800 is no whole page');
  assert.equal((await client.run(abi.IOMMU_IOAS_UNMAP, abi.iommu_ioas_unmap, { ioas_id: to, length: 0xffff_ffff_ffff_ffffn })).length, 0x2800n);
});

test('IOMMU_OPTION: accounting only before the first object, huge pages per IOAS', async () => {
  const client = new Client();
  const option = async (option_id: number, op: number, val64 = 0n, object_id = 0): Promise<bigint> =>
    (await client.run(abi.IOMMU_OPTION, abi.iommu_option, { option_id, op, val64, object_id })).val64;
  await option(0, 0, 1n);
  assert.equal(await option(0, 1), 1n);
  await assert.rejects(option(0, 0, 2n), { code: 'EINVAL' });
  await assert.rejects(option(0, 1, 0n, 1), { code: 'EOPNOTSUPP' });
  await assert.rejects(option(0, 2), { code: 'EOPNOTSUPP' });
  await assert.rejects(option(2, 1), { code: 'EOPNOTSUPP' });
  const ioas = await client.ioas();
  await assert.rejects(option(0, 0, 0n), { code: 'EBUSY' });
  assert.equal(await option(1, 1, 0n, ioas), 1n);
  await option(1, 0, 0n, ioas);
  assert.equal(await option(1, 1, 1n, ioas), 0n);
  await assert.rejects(option(1, 1, 0n, 9), { code: 'ENOENT' });
});

test('IOMMU_VFIO_IOAS set, get, clear; a destroyed IOAS is no longer VFIO\'s', async () => {
  const client = new Client();
  const ioas = await client.ioas();
  const run = (op: number, ioas_id = 0): Promise<{ ioas_id: number }> =>
    client.run(abi.IOMMU_VFIO_IOAS, abi.iommu_vfio_ioas, { op, ioas_id });
  await assert.rejects(run(abi.IOMMU_VFIO_IOAS_SET, 9), { code: 'ENOENT' });
  await run(abi.IOMMU_VFIO_IOAS_SET, ioas);
  assert.equal((await run(abi.IOMMU_VFIO_IOAS_GET)).ioas_id, ioas);
  await client.destroy(ioas);
  await assert.rejects(run(abi.IOMMU_VFIO_IOAS_GET), { code: 'ENODEV' });
  await assert.rejects(run(3), { code: 'EOPNOTSUPP' });
});

test('FAULT_QUEUE_ALLOC gives an empty queue that holds its object; without a slot it leaves nothing', async () => {
  const client = new Client();
  const { out_fault_id, out_fault_fd } = await client.run(abi.IOMMU_FAULT_QUEUE_ALLOC, abi.iommu_fault_alloc, {});
  await assert.rejects(client.destroy(out_fault_id), { code: 'EBUSY' });
  assert.deepEqual(client.caller.file(out_fault_fd).read?.(client.request, 0, 64), new Uint8Array(0));
  await client.caller.close(out_fault_fd);
  await client.destroy(out_fault_id);
  const full = new Client(new FakeCaller({ slots: 0 }));
  await assert.rejects(full.run(abi.IOMMU_FAULT_QUEUE_ALLOC, abi.iommu_fault_alloc, {}), { code: 'EMFILE' });
  assert.equal(full.file.context.objects.empty, true);
});

test('a queue of FAULT_QUEUE_ALLOC that was given away stays when its number cannot be written', async () => {
  const client = new Client();
  const write = client.caller.write.bind(client.caller);
  let writes = 0;
  client.caller.write = (address, data) => {
    if (++writes === 2) throw new Errno('EFAULT');
    write(address, data);
  };
  await assert.rejects(client.run(abi.IOMMU_FAULT_QUEUE_ALLOC, abi.iommu_fault_alloc, {}), { code: 'EFAULT' });
  const { context } = client.file;
  assert.equal(context.objects.empty, false);
  const [fd] = [...client.caller.fds.keys()].slice(-1);
  assert.ok(fd !== undefined);
  assert.deepEqual(client.caller.file(fd).read?.(client.request, 0, 64), new Uint8Array(0));
  const ioas = await client.ioas();
  await client.caller.close(fd);
  await client.destroy(ioas);
});
