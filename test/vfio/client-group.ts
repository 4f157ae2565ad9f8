/**
 * A VMM of the group API as a process of its own: everything is a real system call on a mounted lab. Arguments: the mount, and
 * what to do. Prints one line of JSON.
 *
 * `talk` holds the whole conversation and closes all; `hang` opens the device with an eventfd and waits to be killed.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as abi from '../../src/abi/vfio.js';
import type { Fields, Struct, StructValue } from '../../src/abi/layout.js';
import { openSlots } from '../../src/cli/run/slots.js';
import { createEventfd, drainEventfd } from '../../src/sys/eventfd.js';
import { addressOf, bind, lastErrno } from '../../src/sys/libc.js';

const [lab = '', action = 'talk'] = process.argv.slice(2);
const UUID = 'd0000000-0000-4000-8000-000000000001';
/** Where the test's card takes "write this page": see mounted.test.ts. */
const DOORBELL = 2 ** 45;
const PAGE = 4096n;

const cIoctl = bind('ioctl', 'int', ['int', 'ulong', 'pointer']);
const cIoctlWord = bind('ioctl', 'int', ['int', 'ulong', 'ulong']);
const cMunmap = bind('munmap', 'int', ['ulong', 'ulong']);
const cMmap = bind('mmap', 'long', ['ulong', 'ulong', 'int', 'int', 'int', 'long']);

/** The result, or the negative errno. */
function call(fd: number, command: number, argument: Uint8Array | bigint): number {
  const result = typeof argument === 'bigint' ? cIoctlWord(fd, command, argument) : cIoctl(fd, command, argument);
  return result < 0 ? -lastErrno() : result;
}

function must(fd: number, command: number, argument: Uint8Array | bigint = 0n): number {
  const result = call(fd, command, argument);
  if (result < 0) throw new Error(`ioctl ${command.toString(16)} failed: errno ${-result}`);
  return result;
}

function ask<F extends Fields>(fd: number, command: number, layout: Struct<F>, value: Partial<StructValue<Struct<F>>>): StructValue<Struct<F>> {
  const argument = layout.encode(value);
  must(fd, command, argument);
  return layout.decode(argument);
}

/** VFIO_DEVICE_FEATURE with a payload; the payload afterwards. */
function feature<F extends Fields>(fd: number, flags: number, layout: Struct<F>, value: Partial<StructValue<Struct<F>>>): StructValue<Struct<F>> {
  const argument = Buffer.concat([abi.vfio_device_feature.encode({ argsz: 8 + layout.size, flags }), layout.encode(value)]);
  must(fd, abi.VFIO_DEVICE_FEATURE, argument);
  return layout.decode(argument, 8);
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const mmap = (length: bigint, prot: number): bigint => BigInt(cMmap(0n, length, prot, MAP_PRIVATE_ANONYMOUS, -1, 0));

function open(): { container: number; group: number; device: number } {
  const container = openSync(join(lab, 'vfio'), 'r+');
  const group = openSync(join(lab, 'group'), 'r+');
  must(group, abi.VFIO_GROUP_SET_CONTAINER, new Uint8Array(new Int32Array([container]).buffer));
  must(container, abi.VFIO_SET_IOMMU, BigInt(abi.VFIO_TYPE1v2_IOMMU));
  const device = must(group, abi.VFIO_GROUP_GET_DEVICE_FD, Buffer.from(`${UUID}\0`));
  return { container, group, device };
}

function interrupts(device: number): unknown {
  const before = call(device, abi.VFIO_DEVICE_GET_IRQ_INFO, abi.vfio_irq_info.encode({ argsz: 16 }));
  const info = ask(device, abi.VFIO_DEVICE_GET_INFO, abi.vfio_device_info, { argsz: 24 });
  const eventfd = createEventfd();
  const set = (flags: number, count: number, data: readonly number[]): number => call(device, abi.VFIO_DEVICE_SET_IRQS, Buffer.concat([
    abi.vfio_irq_set.encode({ argsz: 20 + 4 * data.length, flags, count }), new Uint8Array(new Int32Array(data).buffer),
  ]));
  const trigger = abi.VFIO_IRQ_SET_ACTION_TRIGGER;
  const results = [
    set(abi.VFIO_IRQ_SET_DATA_EVENTFD | trigger, 1, [eventfd.fd]),
    set(abi.VFIO_IRQ_SET_DATA_NONE | trigger, 1, []),
  ];
  const fired = Number(drainEventfd(eventfd.fd));
  results.push(
    set(abi.VFIO_IRQ_SET_DATA_EVENTFD | trigger, 1, [9999]),
    set(abi.VFIO_IRQ_SET_DATA_NONE | trigger, 1, []),
    set(abi.VFIO_IRQ_SET_DATA_EVENTFD | trigger, 1, [device]),
    set(abi.VFIO_IRQ_SET_DATA_EVENTFD | trigger, 1, [eventfd.fd]),
  );
  return { before, irqs: info.num_irqs, results, fired };
}

/** Maps four pages, has the device write into two of them, and reads the dirty bitmaps. */
function dma(container: number, device: number): unknown {
  const vaddr = mmap(4n * PAGE, PROT_READ | PROT_WRITE);
  must(container, abi.VFIO_IOMMU_MAP_DMA, abi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags: 3, vaddr, iova: 0x10000n, size: 4n * PAGE }));
  must(container, abi.VFIO_IOMMU_DIRTY_PAGES, abi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 8, flags: 1 }));
  const ranges = new Uint8Array(new BigUint64Array([0x10000n, 4n * PAGE]).buffer);
  feature(device, abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START, abi.vfio_device_feature_dma_logging_control,
    { page_size: PAGE, num_ranges: 1, ranges: addressOf(ranges) });
  for (const iova of [0x11000n, 0x13ff8n]) writeSync(device, new BigUint64Array([iova]), 0, 8, DOORBELL);
  const bitmap = new BigUint64Array(2);
  must(container, abi.VFIO_IOMMU_DIRTY_PAGES, Buffer.concat([
    abi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 48, flags: abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP }),
    abi.vfio_iommu_type1_dirty_bitmap_get.encode({
      iova: 0x10000n, size: 4n * PAGE, bitmap: { pgsize: PAGE, size: 8n, data: addressOf(new Uint8Array(bitmap.buffer)) },
    }),
  ]));
  feature(device, abi.VFIO_DEVICE_FEATURE_GET | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, abi.vfio_device_feature_dma_logging_report,
    { iova: 0x10000n, length: 4n * PAGE, page_size: PAGE, bitmap: addressOf(new Uint8Array(bitmap.buffer, 8)) });
  let fault = '0';
  try {
    writeSync(device, new BigUint64Array([0x14000n]), 0, 8, DOORBELL);
  } catch (error) {
    fault = (error as NodeJS.ErrnoException).code ?? '';
  }
  return { bitmaps: [...bitmap].map(Number), fault, written: peek(vaddr + 0x1000n) };
}

/** A byte of our own memory by its address: pread(2) through /proc/self/mem. */
function peek(address: bigint): number {
  const memory = openSync('/proc/self/mem', 'r');
  const byte = new Uint8Array(1);
  readSync(memory, byte, 0, 1, address);
  closeSync(memory);
  return byte[0] ?? -1;
}

function migrate(device: number): unknown {
  const flags = abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
  const go = (device_state: number): number => feature(device, flags, abi.vfio_device_feature_mig_state, { device_state }).data_fd;
  const stream = go(abi.VFIO_DEVICE_STATE_STOP_COPY);
  const data = Buffer.alloc(256);
  const size = readSync(stream, data, 0, data.length, null);
  const end = readSync(stream, data, 0, data.length, null);
  closeSync(stream);
  const again = go(abi.VFIO_DEVICE_STATE_RUNNING);
  return { stream: stream >= 512, size, end, again };
}

/** Arguments at addresses that fault, as ret of the ioctl. */
function faults(group: number, device: number): unknown {
  const readOnly = mmap(PAGE, PROT_READ);
  const page = mmap(2n * PAGE, PROT_READ | PROT_WRITE);
  cMunmap(page + PAGE, PAGE);
  const info = abi.VFIO_DEVICE_GET_INFO;
  return {
    unmapped: call(device, info, 0x10n),
    readOnlyZeros: call(device, info, readOnly),
    crossing: call(device, info, page + PAGE - 8n),
    name: call(group, abi.VFIO_GROUP_GET_DEVICE_FD, 0x10n),
    status: call(group, abi.VFIO_GROUP_GET_STATUS, (1n << 64n) - 4n),
  };
}

function talk(): unknown {
  const { container, group, device } = open();
  const again = call(group, abi.VFIO_GROUP_GET_DEVICE_FD, Buffer.from(`${UUID}\0`));
  const vendor = Buffer.alloc(2);
  readSync(device, vendor, 0, 2, 7 * 2 ** 40);
  const answers = {
    slots: device >= 512 && again > device, vendor: vendor.readUInt16LE(0).toString(16), interrupts: interrupts(device),
    dma: dma(container, device), migration: migrate(device), faults: faults(group, device),
    busy: call(group, abi.VFIO_GROUP_UNSET_CONTAINER, 0n),
  };
  closeSync(group);
  closeSync(container);
  closeSync(device);
  let second = '0';
  try {
    openSync(join(lab, 'group'), 'r+');
  } catch (error) {
    second = (error as NodeJS.ErrnoException).code ?? '';
  }
  closeSync(again);
  return { ...answers, second };
}

openSlots(lab, 4);
if (action === 'talk') {
  console.log(JSON.stringify(talk()));
} else {
  const { device } = open();
  interrupts(device);
  console.log('hanging');
  setInterval(() => undefined, 1 << 30);
}
