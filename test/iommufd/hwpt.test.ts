import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as abi from '../../src/abi/iommufd.js';
import { DmaPort } from '../../src/iommufd/dma-space.js';
import type { IommufdDevice } from '../../src/iommufd/hwpt.js';
import { IommufdFile } from '../../src/iommufd/main.js';
import { Client } from './client.js';
import { FakeCaller } from '../fakes/caller.js';

const { iommu_hw_info, iommu_hwpt_alloc, iommu_hwpt_get_dirty_bitmap, iommu_hwpt_set_dirty_tracking } = abi;
const PAGE = 4096n;

/** A client with a bound device and 16 pages at IOVA 1 MiB. */
class Lab extends Client {
  readonly port = new DmaPort();
  readonly device: IommufdDevice = this.file.context.bind(this.port);
  readonly memory = this.caller.allocate(0x10000);
  ioasId = 0;

  static async make(): Promise<Lab> {
    const lab = new Lab();
    lab.ioasId = await lab.ioas();
    await lab.map(lab.ioasId, lab.memory, 0x10000n, 0x100000n);
    return lab;
  }

  async hwpt(flags = abi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING): Promise<number> {
    const values = { flags, dev_id: this.device.id, pt_id: this.ioasId };
    return (await this.run(abi.IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, values)).out_hwpt_id;
  }
  attach(id: number): void {
    this.device.attach(this.file.context.objects, id);
  }
  tracking(hwpt_id: number, on: boolean): Promise<unknown> {
    return this.run(abi.IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, { hwpt_id, flags: on ? 1 : 0 });
  }
  /** The bitmap of the 16 pages as a number. */
  async bitmap(hwpt_id: number, values: Partial<Parameters<typeof iommu_hwpt_get_dirty_bitmap.encode>[0]> = {}): Promise<number> {
    const data = this.caller.allocate(8);
    await this.run(abi.IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap,
      { hwpt_id, iova: 0x100000n, length: 0x10000n, page_size: PAGE, data, ...values });
    const [low = 0, high = 0] = this.caller.read(data, 2);
    return low | high << 8;
  }
}

test('GET_HW_INFO says that dirty tracking is there, and clears the client\'s buffer', async () => {
  const lab = await Lab.make();
  const buffer = lab.caller.allocate(new Uint8Array(16).fill(0xaa));
  const info = await lab.run(abi.IOMMU_GET_HW_INFO, iommu_hw_info, { dev_id: lab.device.id, data_len: 12, data_uptr: buffer });
  assert.equal(info.out_capabilities & BigInt(abi.IOMMU_HW_CAP_DIRTY_TRACKING), 1n);
  assert.equal(info.out_data_type, abi.IOMMU_HW_INFO_TYPE_NONE);
  assert.equal(info.data_len, 0);
  assert.deepEqual([...lab.caller.read(buffer, 16)], [...new Array<number>(12).fill(0), 0xaa, 0xaa, 0xaa, 0xaa]);
  await assert.rejects(lab.run(abi.IOMMU_GET_HW_INFO, iommu_hw_info, { dev_id: lab.ioasId }), { code: 'ENOENT' });
  await assert.rejects(lab.run(abi.IOMMU_GET_HW_INFO, iommu_hw_info, { dev_id: lab.device.id, flags: 1 }), { code: 'EOPNOTSUPP' });
  await assert.rejects(lab.run(abi.IOMMU_GET_HW_INFO, iommu_hw_info, { dev_id: lab.device.id, data_len: 0xffff_ffff, data_uptr: buffer }),
    { code: 'EFAULT' });
});

test('without dirty tracking a device answers as the kernel\'s emulated ones: ENOENT', async () => {
  const client = new Client(new FakeCaller(), new IommufdFile({ dirtyTracking: false }));
  const device = client.file.context.bind(new DmaPort());
  const pt_id = await client.ioas();
  await assert.rejects(client.run(abi.IOMMU_GET_HW_INFO, iommu_hw_info, { dev_id: device.id }), { code: 'ENOENT' });
  await assert.rejects(client.run(abi.IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, { dev_id: device.id, pt_id }), { code: 'ENOENT' });
});

test('HWPT_ALLOC refuses what the lab\'s IOMMU can not do', async () => {
  const lab = await Lab.make();
  const alloc = (values: Partial<Parameters<typeof iommu_hwpt_alloc.encode>[0]>): Promise<unknown> =>
    lab.run(abi.IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, { dev_id: lab.device.id, pt_id: lab.ioasId, ...values });
  await assert.rejects(alloc({ flags: abi.IOMMU_HWPT_ALLOC_NEST_PARENT }), { code: 'EOPNOTSUPP' });
  await assert.rejects(alloc({ flags: 8 }), { code: 'EOPNOTSUPP' });
  await assert.rejects(alloc({ __reserved: 1 }), { code: 'EOPNOTSUPP' });
  await assert.rejects(alloc({ data_len: 1 }), { code: 'EINVAL' });
  await assert.rejects(alloc({ data_type: 1 }), { code: 'EINVAL' });
  await assert.rejects(alloc({ data_type: 1, data_len: 24 }), { code: 'EOPNOTSUPP' });
  await assert.rejects(alloc({ dev_id: 99 }), { code: 'ENOENT' });
  await assert.rejects(alloc({ pt_id: 99 }), { code: 'EINVAL' });
  await assert.rejects(alloc({ pt_id: lab.device.id }), { code: 'EINVAL' });
  await assert.rejects(alloc({ pt_id: await lab.hwpt() }), { code: 'EOPNOTSUPP' });
});

test('what a driver writes while tracking is on shows up, exact to the page, and is cleared by reading', async () => {
  const lab = await Lab.make();
  const hwpt = await lab.hwpt();
  lab.attach(hwpt);
  lab.port.write(0x100000n, Uint8Array.of(1));
  await lab.tracking(hwpt, true);
  assert.equal(await lab.bitmap(hwpt), 0, 'earlier writes do not count');
  lab.port.write(0x103fffn, Uint8Array.of(1, 2));
  lab.port.write(0x10ffffn, Uint8Array.of(3));
  lab.port.read(0x105000n, 1);
  assert.equal(await lab.bitmap(hwpt, { flags: abi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR }), 0x8018);
  assert.equal(await lab.bitmap(hwpt, { length: 0x4000n }), 0x0008, 'only that part is read and cleared');
  assert.equal(await lab.bitmap(hwpt), 0x8010);
  assert.equal(await lab.bitmap(hwpt), 0);
  await lab.tracking(hwpt, false);
  lab.port.write(0x100000n, Uint8Array.of(1));
  await lab.tracking(hwpt, true);
  assert.equal(await lab.bitmap(hwpt), 0);
});

test('two HWPTs of one IOAS track by themselves; only what is attached is seen', async () => {
  const lab = await Lab.make();
  const [one, two] = [await lab.hwpt(), await lab.hwpt()];
  await lab.tracking(one, true);
  await lab.tracking(two, true);
  lab.attach(one);
  lab.port.write(0x100000n, Uint8Array.of(1));
  lab.attach(two);
  lab.port.write(0x101000n, Uint8Array.of(1));
  assert.deepEqual([await lab.bitmap(one), await lab.bitmap(two)], [1, 2]);
});

test('unmapped pages are forgotten', async () => {
  const lab = await Lab.make();
  const hwpt = await lab.hwpt();
  lab.attach(hwpt);
  await lab.tracking(hwpt, true);
  lab.port.write(0x100000n, Uint8Array.of(1));
  await lab.unmap(lab.ioasId, 0x100000n, 0x10000n);
  await lab.map(lab.ioasId, lab.memory, 0x10000n, 0x100000n);
  assert.equal(await lab.bitmap(hwpt), 0);
});

test('GET_DIRTY_BITMAP rejects bad ranges, holes, and page tables that do not track', async () => {
  const lab = await Lab.make();
  const hwpt = await lab.hwpt();
  await assert.rejects(lab.bitmap(hwpt), { code: 'EINVAL' }, 'tracking is off');
  await lab.tracking(hwpt, true);
  for (const [values, code] of [
    [{ flags: 2 }, 'EOPNOTSUPP'], [{ __reserved: 1 }, 'EOPNOTSUPP'], [{ hwpt_id: 77 }, 'ENOENT'], [{ iova: 0x100001n }, 'EINVAL'],
    [{ length: 100n }, 'EINVAL'], [{ page_size: 0n }, 'EINVAL'], [{ page_size: 1n << 21n }, 'EINVAL'], [{ length: 0n }, 'EOVERFLOW'],
    [{ length: 0xffff_ffff_ffff_f000n }, 'EOVERFLOW'], [{ length: 0x11000n }, 'EINVAL'], [{ iova: 0xff000n, length: 0x2000n }, 'EINVAL'],
    [{ data: 0x10n }, 'EFAULT'],
  ] as const) await assert.rejects(lab.bitmap(hwpt, values), { code }, JSON.stringify(Object.keys(values)));
  const plain = await lab.hwpt(0);
  await assert.rejects(lab.tracking(plain, true), { code: 'EOPNOTSUPP' });
  await assert.rejects(lab.bitmap(plain), { code: 'EOPNOTSUPP' });
  await assert.rejects(lab.run(abi.IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, { hwpt_id: hwpt, flags: 2 }), { code: 'EOPNOTSUPP' });
});

test('objects in use can not be destroyed; unbinding sets them free in any order', async () => {
  const lab = await Lab.make();
  const hwpt = await lab.hwpt();
  lab.attach(hwpt);
  for (const id of [hwpt, lab.ioasId, lab.device.id]) await assert.rejects(lab.destroy(id), { code: 'EBUSY' }, `object ${id}`);
  lab.file.release();
  lab.port.write(0x100000n, Uint8Array.of(7));
  assert.deepEqual([...lab.caller.read(lab.memory, 1)], [7], 'the device keeps the context alive');
  lab.file.context.unbind(lab.device);
  assert.equal(lab.file.context.objects.empty, true);
  assert.throws(() => lab.port.read(0x100000n, 1), { code: 'EFAULT' });
});
