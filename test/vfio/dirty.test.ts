/** Dirty tracking of type1 and DMA logging: exactly the pages that a driver wrote, each told once, whatever the size. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../src/abi/vfio.js';
import type { VfioContainerFile } from '../../src/vfio/container.js';
import { expect0, FakeDevice, hex, UUID_A, VfioClient } from './vfio-client.js';
import type { IoctlResult } from './vfio-client.js';

const PAGE = 4096n;

class Bench {
  readonly client = new VfioClient();
  readonly ops = new FakeDevice();
  container = -1;
  device = -1;

  static async open(): Promise<Bench> {
    const bench = new Bench();
    Object.assign(bench, await bench.client.openDevice(bench.client.vfio.register({ name: UUID_A }, bench.ops)));
    return bench;
  }

  /** Maps fresh memory of `pages` pages; returns its address. */
  async map(iova: bigint, pages: number): Promise<bigint> {
    const vaddr = this.client.caller.allocate(pages * 4096);
    await this.mapAt(iova, BigInt(pages) * PAGE, vaddr);
    return vaddr;
  }

  async mapAt(iova: bigint, size: bigint, vaddr: bigint, flags = 3): Promise<IoctlResult> {
    return expect0(await this.client.ioctl(this.container, abi.VFIO_IOMMU_MAP_DMA,
      abi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags, vaddr, iova, size })));
  }

  write(iova: bigint, length: number): void {
    this.ops.dma?.write(iova, new Uint8Array(length).fill(1));
  }

  track(flag: number): Promise<IoctlResult> {
    return this.client.ioctl(this.container, abi.VFIO_IOMMU_DIRTY_PAGES, abi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 8, flags: flag }));
  }

  async start(): Promise<void> {
    expect0(await this.track(abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
  }

  /** GET_BITMAP into memory filled with `fill`; the bitmap as hex digits. */
  async get(iova: bigint, pages: bigint, fill = 0): Promise<string> {
    const size = Number((pages + 63n) / 64n * 8n);
    const data = this.client.caller.allocate(new Uint8Array(size).fill(fill));
    expect0(await this.getAt(iova, pages, data));
    return hex(this.client.caller.read(data, size));
  }

  getAt(iova: bigint, pages: bigint, data: bigint): Promise<IoctlResult> {
    const bitmap = { pgsize: PAGE, size: (pages + 63n) / 64n * 8n, data };
    const header = abi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 48, flags: abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP });
    const get = abi.vfio_iommu_type1_dirty_bitmap_get.encode({ iova, size: pages * PAGE, bitmap });
    return this.client.ioctl(this.container, abi.VFIO_IOMMU_DIRTY_PAGES, Buffer.concat([header, get]));
  }
}

describe('type1 dirty tracking', () => {
  it('tells the pages that were written, once', async () => {
    const bench = await Bench.open();
    await bench.map(0x10000n, 16);
    bench.write(0x10000n, 1);
    await bench.start();
    bench.write(0x11ffen, 4);
    bench.write(0x1f000n, 4096);
    assert.equal(await bench.get(0x10000n, 16n), '0680000000000000');
    assert.equal(await bench.get(0x10000n, 16n), '0000000000000000');
  });

  it('does not take a read for a write, nor a write that faults', async () => {
    const bench = await Bench.open();
    await bench.map(0x10000n, 2);
    await bench.mapAt(0x20000n, PAGE, bench.client.caller.allocate(4096), abi.VFIO_DMA_MAP_FLAG_READ);
    await bench.start();
    bench.ops.dma?.read(0x10000n, 100);
    assert.throws(() => bench.write(0x11ff0n, 32), { code: 'EFAULT' });
    assert.throws(() => bench.write(0x20000n, 1), { code: 'EFAULT' });
    assert.equal(await bench.get(0x10000n, 2n), '0000000000000000');
    assert.equal(await bench.get(0x20000n, 1n), '0000000000000000');
  });

  it('puts the bits of several mappings into one word, and leaves words without a mapping alone', async () => {
    const bench = await Bench.open();
    await bench.map(0x10000n, 3);
    await bench.map(0x13000n, 2);
    await bench.map(0x10000n + 64n * PAGE, 1);
    await bench.start();
    bench.write(0x12000n, 4096 * 2);
    bench.write(0x10000n + 64n * PAGE, 1);
    assert.equal(await bench.get(0x10000n, 192n, 0xff), '0c000000000000000100000000000000ffffffffffffffff');
  });

  it('begins clean after STOP and START, and with every new mapping', async () => {
    const bench = await Bench.open();
    await bench.map(0x10000n, 4);
    await bench.start();
    bench.write(0x10000n, 1);
    expect0(await bench.track(abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP));
    await bench.start();
    assert.equal(await bench.get(0x10000n, 4n), '0000000000000000');
    bench.write(0x10000n, 1);
    const all = abi.vfio_iommu_type1_dma_unmap.encode({ argsz: 24, flags: abi.VFIO_DMA_UNMAP_FLAG_ALL });
    expect0(await bench.client.ioctl(bench.container, abi.VFIO_IOMMU_UNMAP_DMA, all));
    await bench.map(0x10000n, 4);
    assert.equal(await bench.get(0x10000n, 4n), '0000000000000000');
  });

  it('keeps the bits when the bitmap can\'t be written', async () => {
    const bench = await Bench.open();
    await bench.map(0x10000n, 4);
    await bench.start();
    bench.write(0x11000n, 1);
    assert.equal((await bench.getAt(0x10000n, 4n, 0x10n)).errno, 'EFAULT');
    assert.equal((await bench.getAt(0x10000n, 4n, bench.client.caller.allocate(new Uint8Array(8), false))).errno, 'EFAULT');
    assert.equal(await bench.get(0x10000n, 4n), '0200000000000000');
  });

  it('tells the bits with UNMAP_DMA, where a failure keeps the mapping', async () => {
    const bench = await Bench.open();
    await bench.map(0x10000n, 4);
    await bench.start();
    bench.write(0x13000n, 1);
    const unmap = async (data: bigint): Promise<IoctlResult> => bench.client.ioctl(bench.container, abi.VFIO_IOMMU_UNMAP_DMA, Buffer.concat([
      abi.vfio_iommu_type1_dma_unmap.encode({ argsz: 48, flags: 1, iova: 0x10000n, size: 4n * PAGE }),
      abi.vfio_bitmap.encode({ pgsize: PAGE, size: 8n, data }),
    ]));
    assert.equal((await unmap(0x10n)).errno, 'EFAULT');
    const data = bench.client.caller.allocate(8);
    const result = expect0(await unmap(data));
    assert.equal(abi.vfio_iommu_type1_dma_unmap.decode(result.bytes).size, 4n * PAGE);
    assert.equal(hex(bench.client.caller.read(data, 8)), '0800000000000000');
  });

  it('reports a mapping of 1 TiB in turns, so that others run in between', async () => {
    const bench = await Bench.open();
    const pages = 1n << 28n;
    await bench.mapAt(0n, pages * PAGE, 0x1000n);
    await bench.start();
    const bitmap = new Uint8Array(32 << 20).fill(0xff);
    bench.client.caller.map(0x6000_0000_0000n, bitmap);
    let turns = 0;
    const count = setInterval(() => turns++, 0);
    expect0(await bench.getAt(0n, pages, 0x6000_0000_0000n));
    clearInterval(count);
    assert.ok(bitmap.every((byte) => byte === 0));
    assert.ok(turns > 1, `${turns} turns`);
  });

  it('reports 20,000 mappings in turns, and unmaps them with their bits', async () => {
    const bench = await Bench.open();
    const { iommu } = (bench.client.file(bench.container) as VfioContainerFile).container;
    const memory = bench.client.caller.memory();
    const vaddr = bench.client.caller.allocate(4096);
    const mapAll = (): void => {
      for (let n = 0n; n < 20_000n; n++) iommu?.map({ iova: n * PAGE, last: n * PAGE + PAGE - 1n, vaddr, prot: 3, memory });
    };
    mapAll();
    await bench.start();
    for (let n = 0n; n < 20_000n; n += 2n) bench.write(n * PAGE, 1);
    let turns = 0;
    const count = setInterval(() => turns++, 0);
    const bits = await bench.get(0n, 20_000n);
    assert.match(bits, /^(55){2500}0*$/);
    bench.write(19_999n * PAGE, 1);
    const data = bench.client.caller.allocate(2504);
    const result = expect0(await bench.client.ioctl(bench.container, abi.VFIO_IOMMU_UNMAP_DMA, Buffer.concat([
      abi.vfio_iommu_type1_dma_unmap.encode({ argsz: 48, flags: 1, iova: 0n, size: 20_000n * PAGE }),
      abi.vfio_bitmap.encode({ pgsize: PAGE, size: 2504n, data }),
    ])));
    clearInterval(count);
    assert.equal(abi.vfio_iommu_type1_dma_unmap.decode(result.bytes).size, 20_000n * PAGE);
    assert.match(hex(bench.client.caller.read(data, 2504)), /^(00){2499}80(00){4}$/);
    assert.ok(turns > 1, `${turns} turns`);
    mapAll();
  });

  it('START rejects a mapping beyond 8 TiB with EINVAL', async () => {
    const bench = await Bench.open();
    await bench.mapAt(0n, 1n << 44n, 0x1000n);
    assert.equal((await bench.track(abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START)).errno, 'EINVAL');
  });

  it('MAP_DMA beyond 65535 mappings is ENOSPC', async () => {
    const bench = await Bench.open();
    const { iommu } = (bench.client.file(bench.container) as VfioContainerFile).container;
    const memory = bench.client.caller.memory();
    for (let n = 0n; n < 65535n; n++) iommu?.map({ iova: n * PAGE, last: n * PAGE + PAGE - 1n, vaddr: 0n, prot: 3, memory });
    const one = abi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags: 3, vaddr: 0x1000n, iova: 1n << 40n, size: PAGE });
    assert.equal((await bench.client.ioctl(bench.container, abi.VFIO_IOMMU_MAP_DMA, one)).errno, 'ENOSPC');
  });
});

describe('DMA logging', () => {
  const feature = (bench: Bench, flags: number, payload: Uint8Array): Promise<IoctlResult> => bench.client.ioctl(bench.device,
    abi.VFIO_DEVICE_FEATURE, Buffer.concat([abi.vfio_device_feature.encode({ argsz: 8 + payload.length, flags }), payload]));

  async function startLogging(bench: Bench, ranges: readonly bigint[]): Promise<void> {
    const address = bench.client.caller.allocate(new Uint8Array(new BigUint64Array(ranges).buffer));
    expect0(await feature(bench, abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
      abi.vfio_device_feature_dma_logging_control.encode({ page_size: PAGE, num_ranges: ranges.length / 2, ranges: address })));
  }

  async function report(bench: Bench, iova: bigint, length: bigint, page_size = PAGE): Promise<string> {
    const bitmap = bench.client.caller.allocate(8);
    expect0(await feature(bench, abi.VFIO_DEVICE_FEATURE_GET | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
      abi.vfio_device_feature_dma_logging_report.encode({ iova, length, page_size, bitmap })));
    return hex(bench.client.caller.read(bitmap, 8));
  }

  it('tells what was written inside the ranges, once, in pages of the size asked for', async () => {
    const bench = await Bench.open();
    await bench.map(0x10000n, 64);
    await startLogging(bench, [0x10000n, 0x4000n, 0x20000n, 0x8000n]);
    bench.write(0x11000n, 1);
    bench.write(0x13000n, 0x2000);
    bench.write(0x21000n, 1);
    assert.equal(await report(bench, 0x10000n, 0x10000n), '0a00000000000000');
    assert.equal(await report(bench, 0x10000n, 0x10000n), '0000000000000000');
    assert.equal(await report(bench, 0x20000n, 0x8000n, 0x2000n), '0100000000000000');
  });

  it('ends with STOP and with the last close, and is independent of type1\'s', async () => {
    const bench = await Bench.open();
    await bench.map(0x10000n, 4);
    await bench.start();
    await startLogging(bench, [0x10000n, 0x4000n]);
    bench.write(0x10000n, 1);
    expect0(await feature(bench, abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, new Uint8Array(0)));
    assert.equal(await report(bench, 0x10000n, 0x4000n), '0000000000000000');
    assert.equal(await bench.get(0x10000n, 4n), '0100000000000000');
  });
});
