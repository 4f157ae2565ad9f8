/**
 * Type1 against the recordings: section `type1`, asked in memory in the order of the real run, in both versions.
 *
 * Not compared: the last page of the address space in 6.12, where the real kernel can't unmap it and then finds nothing else
 * either. The lab answers there as 7.2 does, whatever kernel it plays (DIFFERENCES below).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ioc } from '../../src/abi/ioctl.js';
import * as abi from '../../src/abi/vfio.js';
import type { KernelVersion } from '../../src/abi/kernel-profile.js';
import { loadGolden } from '../golden/load.js';
import type { GoldenKernel, GoldenRecord } from '../golden/load.js';
import { FakeDevice, hex, int32, UUID_A, VfioClient } from './vfio-client.js';

const KERNELS: readonly (readonly [GoldenKernel, KernelVersion])[] = [['stock', '6.12'], ['k2', '6.12'], ['s72', '7.2'], ['k72', '7.2']];

type Fields = Readonly<Record<string, unknown>>;

/** By `op what`: fields in which the lab differs from 6.12, and its own value. */
const LAST_PAGE = 'the last page of the space is a page like any other, as in 7.2';
const DIFFERENCES: Readonly<Record<string, { readonly fields: Fields; readonly reason: string }>> = {
  'UNMAP_DMA last page': { fields: { size_out: '0x1000' }, reason: LAST_PAGE },
  'UNMAP_DMA another page while the last is mapped': { fields: { size_out: '0x1000' }, reason: LAST_PAGE },
  'UNMAP_DMA flag ALL while the last page is mapped': { fields: { size_out: '0x1000' }, reason: LAST_PAGE },
};

/** Where the fake client's buffer stands for the real one's `mem`. */
const MEM = 0x7f00_0000_0000n;
const hexOf = (value: bigint | number): string => `0x${value.toString(16)}`;

class Conversation {
  readonly records: Fields[] = [];
  readonly client: VfioClient;
  container = -1;
  readonly #phase: string;

  constructor(kernel: KernelVersion, phase: string) {
    this.client = new VfioClient({ kernel });
    this.#phase = phase;
  }

  record(op: string, fields: Fields, { ret, errno }: { ret: number; errno: string }): void {
    this.records.push({ op, phase: this.#phase, ...fields, ret, errno });
  }

  async map(what: string, argsz: number, flags: number, vaddr: bigint, iova: bigint, size: bigint): Promise<void> {
    const argument = abi.vfio_iommu_type1_dma_map.encode({ argsz, flags, vaddr: vaddr === 1n ? MEM : vaddr, iova, size });
    const result = await this.client.ioctl(this.container, abi.VFIO_IOMMU_MAP_DMA, argument);
    this.record('MAP_DMA', { what, argsz, flags: hexOf(flags), vaddr: vaddr === 1n ? 'buffer' : hexOf(vaddr), iova: hexOf(iova), size: hexOf(size) }, result);
  }

  async unmap(what: string, argsz: number, flags: number, iova: bigint, size: bigint): Promise<void> {
    const argument = new Uint8Array(88);
    abi.vfio_iommu_type1_dma_unmap.patch(argument, { argsz, flags, iova, size });
    const result = await this.client.ioctl(this.container, abi.VFIO_IOMMU_UNMAP_DMA, argument);
    const out = abi.vfio_iommu_type1_dma_unmap.decode(result.bytes).size;
    this.record('UNMAP_DMA', { what, argsz, flags: hexOf(flags), iova: hexOf(iova), size: hexOf(size), size_out: hexOf(out) }, result);
  }

  async info(what: string, argsz: number): Promise<void> {
    const argument = new Uint8Array(1024).fill(0xee);
    argument.fill(0, 0, abi.vfio_iommu_type1_info.size);
    abi.vfio_iommu_type1_info.patch(argument, { argsz });
    const result = await this.client.ioctl(this.container, abi.VFIO_IOMMU_GET_INFO, argument);
    const out = abi.vfio_iommu_type1_info.decode(result.bytes);
    // As many bytes as the recording program printed.
    const shown = out.argsz < argsz ? Math.min(argsz, 200) : argsz;
    this.record('IOMMU_GET_INFO', {
      what, argsz, argsz_out: out.argsz, flags: hexOf(out.flags), iova_pgsizes: hexOf(out.iova_pgsizes), cap_offset: out.cap_offset,
      bytes: hex(result.bytes.subarray(0, shown)),
    }, result);
  }

  async dirty(what: string, argsz: number, flags: number, iova = 0n, size = 0n, pgsize = 0n, bitmapSize = 0n): Promise<void> {
    const bitmap = this.client.caller.allocate(512);
    const header = abi.vfio_iommu_type1_dirty_bitmap.encode({ argsz, flags });
    const get = abi.vfio_iommu_type1_dirty_bitmap_get.encode({ iova, size, bitmap: { pgsize, size: bitmapSize, data: bitmap } });
    const result = await this.client.ioctl(this.container, abi.VFIO_IOMMU_DIRTY_PAGES, Buffer.concat([header, get]));
    this.record('DIRTY_PAGES', {
      what, argsz, flags: hexOf(flags), iova: hexOf(iova), size: hexOf(size), pgsize: hexOf(pgsize), bitmap_size: Number(bitmapSize),
      bitmap: hex(this.client.caller.read(bitmap, 16)),
    }, result);
  }

  async ioctl(op: string, command: number, argument?: bigint | Uint8Array): Promise<void> {
    this.record(op, {}, await this.client.ioctl(this.container, command, argument));
  }
}

const WRAP = 0xffff_ffff_ffff_f000n;
const M = 32;
const U = 24;
const DB = 8;
const DG = 48;

async function type1Section(kernel: KernelVersion, phase: string, iommu: number): Promise<readonly Fields[]> {
  const talk = new Conversation(kernel, phase);
  const { client } = talk;
  const registration = client.vfio.register({ name: UUID_A }, new FakeDevice());
  talk.container = client.openContainer();
  const group = (await client.openGroup(registration)).ret;
  await client.ioctl(group, abi.VFIO_GROUP_SET_CONTAINER, int32(talk.container));
  await client.ioctl(talk.container, abi.VFIO_SET_IOMMU, BigInt(iommu));
  for (const [what, argsz] of [['argsz 0', 0], ['argsz 8', 8], ['argsz 15', 15], ['argsz 16 (v1)', 16], ['argsz 20', 20],
    ['argsz 24 (struct size)', 24], ['argsz 32', 32], ['argsz 64', 64], ['argsz 128', 128], ['argsz 512', 512]] as const) {
    await talk.info(what, argsz);
  }
  await talk.ioctl('IOMMU_GET_INFO-NULL', abi.VFIO_IOMMU_GET_INFO, 0n);
  await maps(talk);
  await unmaps(talk);
  await dirtyTracking(talk);
  await talk.ioctl('unknown-iommu-ioctl-25', ioc(0, 0x3b, 125, 0));
  await talk.ioctl('VFIO_IOMMU_ENABLE', abi.VFIO_IOMMU_ENABLE);
  await talk.ioctl('type1-ioctl-18', ioc(0, 0x3b, 118, 0));
  await talk.unmap('flag ALL before the last-page test', U, 2, 0n, 0n);
  await talk.map('last page', M, 3, 1n, WRAP, 0x1000n);
  await talk.unmap('last page', U, 0, WRAP, 0x1000n);
  await talk.unmap('last page again', U, 0, WRAP, 0x1000n);
  await talk.map('last page again', M, 3, 1n, WRAP, 0x1000n);
  await talk.map('another page while the last is mapped', M, 3, 1n, 0x60000n, 0x1000n);
  await talk.unmap('another page while the last is mapped', U, 0, 0x60000n, 0x1000n);
  await talk.unmap('flag ALL while the last page is mapped', U, 2, 0n, 0n);
  await talk.info('after that', 512);
  await talk.map('before closing the group', M, 3, 1n, 0x50000n, 0x1000n);
  await client.close(group);
  await talk.info('group fd closed', 512);
  return talk.records;
}

async function maps(talk: Conversation): Promise<void> {
  const rows: readonly (readonly [string, number, number, bigint, bigint, bigint])[] = [
    ['argsz 0', 0, 3, 1n, 0n, 4096n], ['argsz one short', M - 1, 3, 1n, 0n, 4096n], ['flags 0', M, 0, 1n, 0n, 4096n],
    ['unknown flag 8', M, 11, 1n, 0n, 4096n], ['VADDR flag', M, 4, 1n, 0n, 4096n], ['size 0', M, 3, 1n, 0n, 0n],
    ['size 1', M, 3, 1n, 0n, 1n], ['size 100', M, 3, 1n, 0n, 100n], ['unaligned iova', M, 3, 1n, 1n, 4096n],
    ['unaligned vaddr', M, 3, MEM + 1n, 0n, 4096n], ['wrap', M, 3, 1n, WRAP, 8192n], ['vaddr wrap', M, 3, WRAP, 0n, 8192n],
    ['bogus vaddr', M, 3, 0x1000n, 0x7000000n, 4096n],
  ];
  for (const row of rows) await talk.map(...row);
  await talk.unmap('bogus', U, 0, 0x7000000n, 4096n);
  const more: readonly (readonly [string, number, number, bigint, bigint, bigint])[] = [
    ['rw page', M, 3, 1n, 0x10000n, 0x4000n], ['same again', M, 3, 1n, 0x10000n, 0x4000n], ['overlap', M, 3, 1n, 0x12000n, 0x4000n],
    ['read only', M, 1, 1n, 0x20000n, 0x4000n], ['write only', M, 2, 1n, 0x30000n, 0x4000n], ['adjacent', M, 3, 1n, 0x14000n, 0x1000n],
    ['larger argsz', M + 100, 3, 1n, 0x40000n, 0x1000n], ['huge 1T', M, 3, 1n, 1n << 40n, 1n << 40n],
  ];
  for (const row of more) await talk.map(...row);
  await talk.info('after maps', 512);
}

async function unmaps(talk: Conversation): Promise<void> {
  const rows: readonly (readonly [string, number, number, bigint, bigint])[] = [
    ['argsz 0', 0, 0, 0x10000n, 0x4000n], ['argsz one short', U - 1, 0, 0x10000n, 0x4000n], ['unknown flag 8', U, 8, 0x10000n, 0x4000n],
    ['size 0', U, 0, 0x10000n, 0n], ['unaligned', U, 0, 0x10001n, 0x1000n], ['size 100', U, 0, 0x10000n, 100n],
    ['first half', U, 0, 0x10000n, 0x2000n], ['second half', U, 0, 0x12000n, 0x2000n], ['middle', U, 0, 0x11000n, 0x1000n],
    ['exact', U, 0, 0x10000n, 0x4000n], ['again', U, 0, 0x10000n, 0x4000n], ['covering several', U, 0, 0x14000n, 0x20000n],
    ['nothing there', U, 0, 0x900000n, 0x1000n], ['wrap', U, 0, WRAP, 0x2000n], ['whole space but last', U, 0, 0n, (1n << 64n) - 1n],
    ['whole space', U, 0, 0n, WRAP],
  ];
  for (const row of rows) await talk.unmap(...row);
  await talk.map('again', M, 3, 1n, 0x10000n, 0x4000n);
  await talk.unmap('flag ALL, nonzero size', U, 2, 0n, 0x1000n);
  await talk.unmap('flag ALL, iova nonzero', U, 2, 0x1000n, 0n);
  await talk.unmap('flag ALL', U, 2, 0n, 0n);
  await talk.unmap('flag ALL, nothing mapped', U, 2, 0n, 0n);
  await talk.unmap('flag VADDR', U, 4, 0n, 0x1000n);
  await talk.unmap('ALL|DIRTY', U, 3, 0n, 0n);
}

async function dirtyTracking(talk: Conversation): Promise<void> {
  await talk.map('for dirty', M, 3, 1n, 0x10000n, 0x10000n);
  const P = 4096n;
  const rows: readonly (readonly [string, number, number, bigint?, bigint?, bigint?, bigint?])[] = [
    ['argsz short', DB - 1, 1], ['flags 0', DB, 0], ['flags START|STOP', DB, 3], ['flags 8', DB, 8],
    ['GET before START', DG, 4, 0x10000n, 0x10000n, P, 8n], ['STOP before START', DB, 2], ['START', DB, 1], ['START again', DB, 1],
    ['GET', DG, 4, 0x10000n, 0x10000n, P, 8n], ['GET again', DG, 4, 0x10000n, 0x10000n, P, 8n],
    ['GET argsz of the header only', DB, 4, 0x10000n, 0x10000n, P, 8n], ['GET pgsize 8192', DG, 4, 0x10000n, 0x10000n, 8192n, 8n],
    ['GET pgsize 0', DG, 4, 0x10000n, 0x10000n, 0n, 8n], ['GET bitmap too small', DG, 4, 0x10000n, 0x10000n, P, 1n],
    ['GET bitmap size 0', DG, 4, 0x10000n, 0x10000n, P, 0n], ['GET half', DG, 4, 0x10000n, 0x8000n, P, 8n],
    ['GET nothing mapped', DG, 4, 0x900000n, 0x1000n, P, 8n], ['GET size 0', DG, 4, 0x10000n, 0n, P, 8n],
    ['GET unaligned', DG, 4, 0x10001n, 0x1000n, P, 8n],
  ];
  for (const row of rows) await talk.dirty(...row);
  const { client } = talk;
  const bitmap = client.caller.allocate(16);
  const unmap = abi.vfio_iommu_type1_dma_unmap.encode({ argsz: 48, flags: 1, iova: 0x10000n, size: 0x10000n });
  const whole = Buffer.concat([unmap, abi.vfio_bitmap.encode({ pgsize: P, size: 8n, data: bitmap })]);
  const result = await client.ioctl(talk.container, abi.VFIO_IOMMU_UNMAP_DMA, whole);
  const out = abi.vfio_iommu_type1_dma_unmap.decode(result.bytes).size;
  talk.record('UNMAP_DMA-with-dirty-bitmap', { size_out: hexOf(out), bitmap: hex(client.caller.read(bitmap, 16)) }, result);
  await talk.dirty('STOP', DB, 2);
  await talk.dirty('STOP again', DB, 2);
  await talk.ioctl('UNMAP_DMA-dirty-flag-without-bitmap-argsz', abi.VFIO_IOMMU_UNMAP_DMA, abi.vfio_iommu_type1_dma_unmap.encode({
    argsz: 24, flags: 1, iova: 0x10000n, size: 0x10000n,
  }));
}

const METADATA = new Set(['kernel', 'i', 'area', 'sec', 'unstable']);
const fieldsOf = (record: GoldenRecord): Fields =>
  Object.fromEntries(Object.entries(record).filter(([key]) => !METADATA.has(key) && !(record.unstable ?? []).includes(key)));

describe('type1', () => {
  for (const [golden, kernel] of KERNELS) {
    for (const [phase, iommu] of [['TYPE1v2', abi.VFIO_TYPE1v2_IOMMU], ['TYPE1', abi.VFIO_TYPE1_IOMMU]] as const) {
      it(`answers phase ${phase} as ${golden} did`, async () => {
        const records = loadGolden('vfio-conversation', { kernel: golden, sec: 'type1', phase });
        const answers = await type1Section(kernel, phase, iommu);
        assert.equal(answers.length, records.length);
        records.forEach((record, n) => {
          const key = `${record.op} ${String(record['what'])}`;
          const known = kernel === '6.12' ? DIFFERENCES[key]?.fields : undefined;
          // The count of mappings left is off by the ones that 6.12 can't get rid of.
          const lost = kernel === '6.12' && key === 'IOMMU_GET_INFO after that';
          const expected = { ...fieldsOf(record), ...known, ...(lost ? { bytes: answers[n]?.['bytes'] } : {}) };
          const unstable = Object.fromEntries(Object.entries(answers[n] ?? {}).filter(([field]) => !(record.unstable ?? []).includes(field)));
          assert.deepEqual(unstable, expected, `record ${n}`);
        });
      });
    }
  }
});
