/** The recorded conversation of a real kernel's cdev and /dev/iommu, spoken again with ours in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errnoName, isErrno } from '../../src/abi/errno.js';
import * as abi from '../../src/abi/iommufd.js';
import { KERNEL_PROFILES } from '../../src/abi/kernel-profile.js';
import type { Fields, Struct, StructValue } from '../../src/abi/layout.js';
import {
  VFIO_CHECK_EXTENSION, VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_DETACH_IOMMUFD_PT, VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_RESET, VFIO_GET_API_VERSION, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA, VFIO_SET_IOMMU, vfio_device_attach_iommufd_pt, vfio_device_bind_iommufd, vfio_device_detach_iommufd_pt,
  vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap,
} from '../../src/abi/vfio.js';
import { IommufdFile } from '../../src/iommufd/main.js';
import { Ioas } from '../../src/iommufd/ioas.js';
import type { OpenFile } from '../../src/kernfs/file.js';
import { VfioCdevFile } from '../../src/vfio/cdev.js';
import { VfioDevice } from '../../src/vfio/core.js';
import { FakeCaller, fakeRequest } from '../fakes/caller.js';
import { loadGolden, number, text } from '../golden/load.js';
import type { GoldenRecord } from '../golden/load.js';

const GROUP = { opened: false, block: () => assert.ok(!GROUP.opened), unblock: () => undefined };
const device = new VfioDevice('d', {
  deviceApi: 'vfio-pci', ioctl: () => 0, read: (_request, _offset, size) => new Uint8Array(size), write: (_request, _offset, data) => data.length,
});
const caller = new FakeCaller();
const request = fakeRequest(caller);
// 6.12's emulated device has no page tables of its own.
const [io, io2] = [new IommufdFile({ dirtyTracking: false }), new IommufdFile({ dirtyTracking: false })];
const [ioFd, io2Fd, otherFd] = [caller.install(io), caller.install(io2), caller.install('other')];
const cdev = new VfioCdevFile(device, GROUP);
const buffer = caller.allocate(0x10000);
let second: VfioCdevFile | undefined;
let ioas = 0;

async function call(file: OpenFile, command: number, argument: bigint): Promise<string> {
  try {
    assert.ok(await file.ioctl?.(request, command, argument) !== undefined);
    return '0';
  } catch (error) {
    if (isErrno(error)) return error.code;
    throw error;
  }
}

async function exchange<F extends Fields>(
  file: OpenFile, command: number, layout: Struct<F>, values: Partial<StructValue<Struct<F>>>,
): Promise<{ errno: string; out: StructValue<Struct<F>> }> {
  const address = caller.allocate(layout.encode(values));
  const errno = await call(file, command, address);
  return { errno, out: layout.decode(caller.read(address, layout.size)) };
}

const BIND_FDS: Record<string, number> = {
  'fd -1': -1, 'closed fd': 999, '/dev/null': otherFd, 'container fd': otherFd, 'second time, other iommufd': io2Fd,
  'second fd, other iommufd': io2Fd,
};

/** Fields of the record that our answer has too. */
type Answer = Record<string, unknown>;

async function bind(record: GoldenRecord): Promise<Answer> {
  const what = text(record, 'what');
  const file = what.startsWith('second fd') ? second ?? cdev : cdev;
  const { errno, out } = await exchange(file, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd,
    { argsz: number(record, 'argsz'), flags: number(record, 'flags'), iommufd: BIND_FDS[what] ?? ioFd, out_devid: 0xeeeeeeee });
  return { errno, out_devid: out.out_devid };
}

async function iommu(record: GoldenRecord): Promise<Answer> {
  const what = text(record, 'what');
  switch (record.op) {
    case 'IOAS_ALLOC': {
      const size = what === 'size 4' ? 4 : what.startsWith('size 64') ? 64 : 12;
      const data = new Uint8Array(64);
      abi.iommu_ioas_alloc.patch(data, { size, flags: what === 'flags 1' ? 1 : 0 });
      if (what === 'size 64, nonzero tail') data[60] = 1;
      const address = caller.allocate(data);
      const errno = await call(io, abi.IOMMU_IOAS_ALLOC, address);
      const id = abi.iommu_ioas_alloc.decode(caller.read(address, 12)).out_ioas_id;
      if (what === 'second') ioas = id;
      return errno === '0' ? { errno, id } : { errno };
    }
    case 'IOMMU_DESTROY': {
      const { errno } = await exchange(io, abi.IOMMU_DESTROY, abi.iommu_destroy, { size: what === 'bad size' ? 4 : 8, id: number(record, 'id') });
      return { errno };
    }
    case 'IOVA_RANGES': {
      const ranges = caller.allocate(128);
      const { errno, out } = await exchange(io, abi.IOMMU_IOAS_IOVA_RANGES, abi.iommu_ioas_iova_ranges, {
        size: 32, ioas_id: what === 'bad id' ? 999 : ioas, num_iovas: what === 'num 0' ? 0 : 8, allowed_iovas: ranges,
        __reserved: what === 'reserved 1' ? 1 : 0,
      });
      const { start, last } = abi.iommu_iova_range.decode(caller.read(ranges, 16));
      const found: Answer = { errno };
      if ('num_out' in record) found['num_out'] = out.num_iovas;
      if ('start' in record) Object.assign(found, { start: hexOf(start), last: hexOf(last), alignment: hexOf(out.out_iova_alignment) });
      return found;
    }
    case 'IOAS_MAP': {
      const { errno, out } = await exchange(io, abi.IOMMU_IOAS_MAP, abi.iommu_ioas_map, {
        size: what === 'short size' ? 16 : 40, flags: number(record, 'flags'), ioas_id: what === 'bad id' ? 999 : what === 'id 0' ? 0 : ioas,
        user_va: what === 'bogus vaddr' ? 0x1000n : buffer, length: BigInt(text(record, 'length')), iova: BigInt(text(record, 'iova')),
      });
      return { errno, iova_out: hexOf(out.iova) };
    }
    case 'IOAS_UNMAP': {
      const { errno, out } = await exchange(io, abi.IOMMU_IOAS_UNMAP, abi.iommu_ioas_unmap,
        { size: 24, ioas_id: what === 'bad id' ? 999 : ioas, iova: BigInt(text(record, 'iova')), length: BigInt(text(record, 'length')) });
      return { errno, length_out: hexOf(out.length) };
    }
    case 'GET_HW_INFO':
      return { errno: (await exchange(io, abi.IOMMU_GET_HW_INFO, abi.iommu_hw_info, { size: 40, dev_id: 1 })).errno };
    case 'HWPT_ALLOC':
      return { errno: (await exchange(io, abi.IOMMU_HWPT_ALLOC, abi.iommu_hwpt_alloc, { size: 48, dev_id: 1, pt_id: ioas })).errno };
    case 'IOMMU_OPTION': {
      const huge = what === 'HUGE_PAGES get';
      const { errno, out } = await exchange(io, abi.IOMMU_OPTION, abi.iommu_option,
        { size: 24, op: 1, option_id: huge ? 1 : 0, object_id: huge ? ioas : 0 });
      return { errno, val: Number(out.val64) };
    }
    default:
      return { errno: (await exchange(io, abi.IOMMU_VFIO_IOAS, abi.iommu_vfio_ioas, { size: 12 })).errno };
  }
}

const hexOf = (value: bigint): string => `0x${value.toString(16)}`;

const BEFORE_BIND: Record<string, number> = {
  DEVICE_GET_INFO: VFIO_DEVICE_GET_INFO, REGION_INFO: VFIO_DEVICE_GET_REGION_INFO, RESET: VFIO_DEVICE_RESET, FEATURE: VFIO_DEVICE_FEATURE,
  'unknown-ioctl': 0x3ba0,
};

/** Undefined: the record is about the file system, a group, or a removal; others test those. */
async function replay(record: GoldenRecord): Promise<Answer | undefined> {
  const file = record['when'] === 'second fd, not bound' ? second ?? cdev : cdev;
  switch (record.op) {
    case 'open-cdev':
      if (text(record, 'flags').includes('second')) second = new VfioCdevFile(device, GROUP);
      return undefined;
    case 'DEVICE_GET_INFO': case 'REGION_INFO': case 'RESET': case 'FEATURE': case 'unknown-ioctl':
      if (record['when'] === 'iommufd fd closed, device fd open') io.release();
      return { errno: await call(file, BEFORE_BIND[record.op] ?? 0, buffer) };
    case 'pread': case 'pwrite': case 'read-0': {
      if (record['when'] !== 'before BIND') return undefined;
      const access = (): unknown => (record.op === 'pwrite' ? cdev.write(request, 0, new Uint8Array(4)) : cdev.read(request, 0, 4));
      assert.throws(access, { code: record.errno });
      return undefined;
    }
    case 'BIND_IOMMUFD': return bind(record);
    case 'BIND_IOMMUFD-NULL': return { errno: await call(cdev, VFIO_DEVICE_BIND_IOMMUFD, 0n) };
    case 'ATTACH_IOMMUFD_PT': {
      const { errno, out } = await exchange(cdev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio_device_attach_iommufd_pt,
        { argsz: number(record, 'argsz'), flags: number(record, 'flags'), pt_id: number(record, 'pt_id') });
      return { errno, pt_id_out: out.pt_id };
    }
    case 'DETACH_IOMMUFD_PT': {
      const { errno } = await exchange(cdev, VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio_device_detach_iommufd_pt,
        { argsz: number(record, 'argsz'), flags: number(record, 'flags') });
      return { errno };
    }
    case 'IOAS_ALLOC': case 'IOMMU_DESTROY': case 'IOVA_RANGES': case 'IOAS_MAP': case 'IOAS_UNMAP': case 'GET_HW_INFO': case 'HWPT_ALLOC':
    case 'IOMMU_OPTION': case 'VFIO_IOAS':
      return iommu(record);
    case 'iommufd-ioctl-number': return { errno: await call(io, 0x3b00 | number(record, 'nr'), caller.allocate(128)) };
    case 'iommufd-GET_API_VERSION': return { ret: await io.ioctl(request, VFIO_GET_API_VERSION, 0n) };
    case 'iommufd-CHECK_EXTENSION': return extension(number(record, 'ext'));
    default: return undefined;
  }
}

async function extension(type: number): Promise<Answer> {
  try {
    return { ret: await io.ioctl(request, VFIO_CHECK_EXTENSION, BigInt(type)) };
  } catch (error) {
    return { errno: isErrno(error) ? errnoName(error.errno) : error };
  }
}

test('cdev and iommufd answer as the recorded kernel does', async () => {
  let compared = 0;
  for (const record of loadGolden('vfio-conversation', { kernel: 'k2', sec: 'cdev' })) {
    if (record.op === 'BIND_IOMMUFD' && text(record, 'what').startsWith('group API has')) break;
    const answer = await replay(record);
    if (answer === undefined) continue;
    compared++;
    const wanted = Object.fromEntries(Object.keys(answer).map((key) => [key, record[key]]));
    assert.deepEqual(answer, wanted, `record ${record.i}: ${record.op} ${JSON.stringify(record['what'] ?? record['when'])}`);
  }
  assert.ok(compared > 110, `${compared} records compared`);
  second?.release();
  cdev.release();
  assert.equal(io.context.objects.empty, true, 'the last holder frees everything');
});

test('flags in ATTACH and DETACH answer as the recorded kernels do', async () => {
  for (const [kernel, profile] of [['k2', KERNEL_PROFILES['6.12']], ['k72', KERNEL_PROFILES['7.2']]] as const) {
    const file = new VfioCdevFile(new VfioDevice('f', { deviceApi: 'vfio-pci', ioctl: () => 0 }, profile), GROUP);
    const fd = caller.install(new IommufdFile({ profile }));
    await exchange(file, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd, { argsz: 16, iommufd: fd });
    const answers = [
      await exchange(file, VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio_device_attach_iommufd_pt, { argsz: 12, flags: 1, pt_id: 1 }),
      await exchange(file, VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio_device_detach_iommufd_pt, { argsz: 8, flags: 1 }),
    ];
    const recorded = loadGolden('vfio-conversation', { kernel, sec: 'cdev', op: ['ATTACH_IOMMUFD_PT', 'DETACH_IOMMUFD_PT'] });
    const wanted = recorded.filter((record) => record['what'] === 'flags 1').map(({ errno }) => errno);
    assert.deepEqual(answers.map(({ errno }) => errno), wanted, kernel);
  }
});

test('iommufd as a container answers as the recorded kernel does', async () => {
  const file = new IommufdFile();
  file.context.vfioIoas = file.context.objects.add(new Ioas());
  const device = file.context.bind(new VfioDevice('c', { deviceApi: 'vfio-pci', ioctl: () => 0 }).dma);
  device.attach(file.context.objects, 1);
  const [info] = loadGolden('vfio-conversation', { kernel: 'k2', sec: 'cdev', op: 'IOMMU_GET_INFO' });
  assert.equal(await file.ioctl(request, VFIO_SET_IOMMU, 3n), 0);
  assert.ok(info !== undefined);
  const data = new Uint8Array(512).fill(0xee);
  data.set([0, 2, 0, 0]);
  const address = caller.allocate(data);
  assert.equal(await file.ioctl(request, VFIO_IOMMU_GET_INFO, address), 0);
  const wanted = text(info, 'bytes');
  assert.equal(Buffer.from(caller.read(address, wanted.length / 2)).toString('hex'), wanted);
  const records = loadGolden('vfio-conversation', { kernel: 'k2', sec: 'cdev', op: ['MAP_DMA', 'UNMAP_DMA'] });
  for (const record of records) {
    const [iova, size] = [BigInt(text(record, 'iova')), BigInt(text(record, 'size'))];
    if (record.op === 'MAP_DMA') {
      const { errno } = await exchange(file, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map,
        { argsz: 32, flags: number(record, 'flags'), vaddr: buffer, iova, size });
      assert.equal(errno, record.errno);
    } else {
      const { errno, out } = await exchange(file, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, { argsz: 24, iova, size });
      assert.deepEqual({ errno, size_out: hexOf(out.size) }, { errno: record.errno, size_out: record['size_out'] }, text(record, 'what'));
    }
  }
});

test('type1 version 1 on an iommufd may unmap parts of a mapping', async () => {
  const file = new IommufdFile();
  file.context.vfioIoas = file.context.objects.add(new Ioas());
  assert.equal(await file.ioctl(request, VFIO_SET_IOMMU, 1n), 0);
  await exchange(file, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, { argsz: 32, flags: 3, vaddr: buffer, iova: 0n, size: 0x4000n });
  const { errno, out } = await exchange(file, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, { argsz: 24, iova: 0x1000n, size: 0x1000n });
  assert.deepEqual([errno, out.size], ['0', 0x1000n]);
  assert.equal(file.context.vfioIoas.space.maps.size, 2);
});

test('BIND is refused with EBUSY while the group is open, and gives the exclusion back', async () => {
  let blocked = 0;
  const group = { block: () => void blocked++, unblock: () => void blocked-- };
  const device = new VfioDevice('e', { deviceApi: 'vfio-pci', ioctl: () => 0, openDevice: () => undefined });
  const file = new VfioCdevFile(device, group);
  const iommufd = new IommufdFile();
  const fd = caller.install(iommufd);
  const bindTo = (iommufdFd: number, address?: bigint): Promise<string> =>
    call(file, VFIO_DEVICE_BIND_IOMMUFD, address ?? caller.allocate(vfio_device_bind_iommufd.encode({ argsz: 16, iommufd: iommufdFd })));
  assert.equal(await bindTo(otherFd), 'EBADFD');
  assert.equal(await bindTo(0, caller.allocate(vfio_device_bind_iommufd.encode({ argsz: 16, iommufd: fd }), false)), 'EFAULT');
  assert.deepEqual([blocked, device.openCount, iommufd.context.objects.empty], [0, 0, true]);
  assert.equal(await bindTo(fd), '0');
  assert.deepEqual([blocked, device.openCount], [1, 1]);
  iommufd.release();
  file.release();
  assert.deepEqual([blocked, device.openCount, iommufd.context.objects.empty], [0, 0, true]);
});
