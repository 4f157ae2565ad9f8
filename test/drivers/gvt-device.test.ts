/** A vGPU as a client has it: configuration space, registers, the aperture, DMA, interrupts, reset, and its migration stream. */
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import * as abi from '../../src/abi/vfio.js';
import { PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_2, PCI_COMMAND } from '../../src/abi/pci.js';
import { GTT_OFFSET } from '../../src/drivers/gvt/card.js';
import { DMA_INTERRUPT, DMA_RUN, dmaPattern } from '../../src/drivers/gvt/dma.js';
import {
  gvt_dma_registers, gvt_state_body, gvt_state_header, gvt_state_page, LAB_REGISTERS,
} from '../../src/drivers/gvt/layout.js';
import type { DmaRegisters } from '../../src/drivers/gvt/dma.js';
import { DmaPort, IovaSpace } from '../../src/iommufd/dma-space.js';
import { setLogSink } from '../../src/trace/trace.js';
import { PAGE, u32, u64, VgpuClient } from '../vfio/vgpu-client.js';

const BAR0 = abi.VFIO_PCI_BAR0_REGION_INDEX;
const BAR2 = abi.VFIO_PCI_BAR2_REGION_INDEX;
const CONFIG = abi.VFIO_PCI_CONFIG_REGION_INDEX;
const MIB = 1 << 20;
const MSI = 0xac;

const open = (): Promise<VgpuClient> => new VgpuClient().open();
const dmaOf = async (client: VgpuClient): Promise<DmaRegisters> =>
  gvt_dma_registers.decode(await client.read(BAR0, LAB_REGISTERS, gvt_dma_registers.size));

/** Programs the engine by its registers. */
async function program(client: VgpuClient, address: number, length: number, interval = 10, control = DMA_RUN): Promise<void> {
  const registers = gvt_dma_registers.encode({ address: BigInt(address), length: BigInt(length), interval, control });
  await client.write(BAR0, LAB_REGISTERS, registers);
}

describe('regions and interrupts', () => {
  it('are a PCI device\'s: BAR0, BAR2, configuration space; INTx, MSI and the blocker\'s', async () => {
    const client = await open();
    const flags = abi.VFIO_REGION_INFO_FLAG_READ | abi.VFIO_REGION_INFO_FLAG_WRITE;
    for (let index = 0; index < abi.VFIO_PCI_NUM_REGIONS; index++) {
      const size = { [BAR0]: 16 * MIB, [BAR2]: 128 * MIB, [CONFIG]: 256 }[index] ?? 0;
      assert.deepEqual(await client.regionInfo(index), { size, flags: size === 0 ? 0 : flags }, String(index));
      assert.equal(await client.tryRead(index, size, 1), 'EINVAL');
      assert.equal(await client.tryWrite(index, size, new Uint8Array(1)), 'EINVAL');
    }
    assert.equal(await client.regionInfo(abi.VFIO_PCI_NUM_REGIONS), 'EINVAL');
    const small = await new VgpuClient({}, 1, 'i915-GVTg_V5_8').open();
    assert.deepEqual(await small.regionInfo(BAR2), { size: 64 * MIB, flags });
    const info = await client.client.ioctl(client.device, abi.VFIO_DEVICE_GET_INFO, abi.vfio_device_info.encode({ argsz: 16 }));
    const { flags: device, num_regions, num_irqs } = abi.vfio_device_info.decode(info.bytes);
    assert.deepEqual([device, num_regions, num_irqs], [abi.VFIO_DEVICE_FLAGS_PCI | abi.VFIO_DEVICE_FLAGS_RESET, 9, 6]);
    const irqs: (number | string)[] = [];
    for (let index = 0; index < 7; index++) {
      const argument = abi.vfio_irq_info.encode({ argsz: 16, index });
      const { errno, bytes } = await client.client.ioctl(client.device, abi.VFIO_DEVICE_GET_IRQ_INFO, argument);
      irqs.push(errno === '0' ? abi.vfio_irq_info.decode(bytes).count : errno);
    }
    assert.deepEqual(irqs, [1, 1, 'EINVAL', 'EINVAL', 'EINVAL', 1, 'EINVAL']);
    assert.equal((await client.client.ioctl(client.device, 0x3b00 + 199)).errno, 'ENOTTY');
  });
});

describe('configuration space', () => {
  it('is that of an Intel GPU, and its BARs answer with their sizes', async () => {
    const client = await open();
    const header = await client.read(CONFIG, 0, 64);
    assert.deepEqual([header.readUInt16LE(0), header.readUInt16LE(2), header.readUInt16LE(0xa)], [0x8086, 0x1912, 0x0300]);
    const sizes = [[PCI_BASE_ADDRESS_0, 16 * MIB, 0x4], [PCI_BASE_ADDRESS_2, 128 * MIB, 0xc]] as const;
    for (const [bar, size, type] of sizes) {
      await client.write(CONFIG, bar, u64(-1n & (1n << 64n) - 1n));
      assert.equal((await client.read(CONFIG, bar, 8)).readBigUInt64LE(), (1n << 64n) - BigInt(size) + BigInt(type));
      await client.write(CONFIG, bar, u32(0xe000_0000));
      assert.equal((await client.read(CONFIG, bar, 4)).readUInt32LE(), 0xe000_0000 + type);
    }
  });

  it('keeps what can be written, and drops the rest', async () => {
    const client = await open();
    await client.write(CONFIG, 0, new Uint8Array(256).fill(0xff));
    const all = await client.read(CONFIG, 0, 256);
    assert.equal(all.readUInt16LE(0), 0x8086);
    assert.equal(all.readUInt16LE(PCI_COMMAND), 0x406);
    assert.equal(all[0x3c], 0xff);
    assert.equal(all.subarray(MSI, MSI + 14).toString('hex'), '05008100fcffffffffffffffffff');
    assert.equal(all.subarray(MSI + 14).some((byte) => byte !== 0), false);
  });
});

describe('BAR0', () => {
  it('is memory, but for the lab\'s page', async () => {
    const client = await open();
    await client.writeRegister(0x100, 0x12345678);
    assert.equal(await client.readRegister(0x100), 0x12345678);
    assert.equal(await client.readRegister(0x104), 0);
    await client.write(BAR0, 0x1ffe, Uint8Array.of(1, 2, 3, 4));
    assert.equal((await client.read(BAR0, 0x1ffc, 8)).toString('hex'), '0000010203040000');
    await client.writeRegister(16 * MIB - 4, 7);
    assert.equal(await client.readRegister(16 * MIB - 4), 7);
    await client.write(BAR0, LAB_REGISTERS - 2, new Uint8Array(PAGE + 4).fill(0xff));
    assert.equal((await client.read(BAR0, LAB_REGISTERS - 2, 2)).toString('hex'), 'ffff');
    assert.equal((await client.read(BAR0, LAB_REGISTERS + PAGE, 2)).toString('hex'), 'ffff');
    assert.equal((await client.read(BAR0, LAB_REGISTERS + 40, PAGE - 40)).some((byte) => byte !== 0), false);
    const { sequence, errors, control } = await dmaOf(client);
    assert.deepEqual([sequence, errors, control & DMA_RUN], [0n, 1n, 0], 'a program that makes no sense is an error');
  });
});

describe('the aperture', () => {
  it('shows guest memory where the translation table says so', async () => {
    const client = await open();
    client.memory.fill(0x11, 3 * PAGE, 4 * PAGE);
    await client.write(BAR0, GTT_OFFSET + 8 * 5, u64(3 * PAGE | 1));
    await client.write(BAR0, GTT_OFFSET + 8 * 6, u64(4 * PAGE));
    assert.equal((await client.read(BAR2, 5 * PAGE - 2, 4)).toString('hex'), '00001111');
    assert.equal((await client.read(BAR2, 6 * PAGE - 2, 4)).toString('hex'), '11110000', 'an entry that is not valid');
    await client.write(BAR2, 5 * PAGE - 2, Uint8Array.of(1, 2, 3, 4));
    assert.equal(Buffer.from(client.memory.subarray(3 * PAGE, 3 * PAGE + 3)).toString('hex'), '030411');
    await client.write(BAR0, GTT_OFFSET, u64(0x7000_0000 | 1));
    assert.equal((await client.read(BAR2, 0, 4)).toString('hex'), '00000000');
    assert.equal((await dmaOf(client)).errors, 1n, 'not mapped');
  });
});

describe('DMA', () => {
  const timers = (): void => mock.timers.enable({ apis: ['setTimeout'] });
  /** Timers that are set in between are seen only by the next tick. */
  const pass = (milliseconds: number): void => {
    for (let n = 0; n < milliseconds; n++) mock.timers.tick(1);
  };
  const rounds = async (client: VgpuClient): Promise<number> => Number((await dmaOf(client)).sequence);
  const inLab = (body: (client: VgpuClient) => Promise<void>) => async () => {
    timers();
    // A machine that is busy would make the rests longer.
    const clock = mock.method(performance, 'now', () => 0);
    try {
      await body(await open());
    } finally {
      clock.mock.restore();
      mock.timers.reset();
    }
  };
  const go = async ({ gpu, client }: VgpuClient, state: number): Promise<void> =>
    void await gpu.migration.setState(client.request, state);

  it('writes its pattern every so many ms, and marks the pages', inLab(async (client) => {
    const log = abi.vfio_iommu_type1_dirty_bitmap;
    const start = log.encode({ argsz: 8, flags: abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START });
    assert.equal((await client.client.ioctl(client.container, abi.VFIO_IOMMU_DIRTY_PAGES, start)).errno, '0');
    await program(client, 2 * PAGE, 2 * PAGE);
    pass(9);
    assert.equal(await rounds(client), 0);
    pass(1);
    assert.equal(await rounds(client), 1);
    assert.deepEqual(client.memory.subarray(2 * PAGE, 4 * PAGE), new Uint8Array(dmaPattern(1n, 2 * PAGE)));
    assert.equal(Buffer.from(client.memory.subarray(2 * PAGE, 2 * PAGE + 16)).toString('latin1'), 'gvt-dma:\x01\0\0\0\0\0\0\0');
    assert.equal(client.memory[4 * PAGE], 0);
    pass(20);
    assert.equal(client.memory[3 * PAGE + 8], 3);
    const bitmap = client.client.caller.allocate(8);
    const get = Buffer.concat([
      log.encode({ argsz: 56, flags: abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP }),
      abi.vfio_iommu_type1_dirty_bitmap_get.encode({
        iova: 0n, size: BigInt(client.memory.length), bitmap: { pgsize: BigInt(PAGE), size: 8n, data: bitmap },
      }),
    ]);
    assert.equal((await client.client.ioctl(client.container, abi.VFIO_IOMMU_DIRTY_PAGES, get)).errno, '0');
    assert.equal(client.client.caller.read(bitmap, 8)[0], 0b1100);
  }));

  it('stops when told so, and goes on with the next number', inLab(async (client) => {
    await program(client, 0, PAGE);
    pass(10);
    await client.writeRegister(LAB_REGISTERS + gvt_dma_registers.fields.control.offset, 0);
    pass(1000);
    assert.equal(await rounds(client), 1);
    await client.writeRegister(LAB_REGISTERS + gvt_dma_registers.fields.control.offset, DMA_RUN);
    pass(10);
    assert.equal(await rounds(client), 2);
  }));

  it('happens in RUNNING and PRE_COPY only', inLab(async (client) => {
    await program(client, 0, PAGE);
    const states = [
      ['RUNNING', 1], ['RUNNING_P2P', 0], ['PRE_COPY', 1], ['PRE_COPY_P2P', 0], ['STOP_COPY', 0], ['STOP', 0], ['RESUMING', 0],
    ] as const;
    for (const [name, expected] of states) {
      client.gpu.migration.reset();
      if (name !== 'RUNNING') await go(client, abi[`VFIO_DEVICE_STATE_${name}`]);
      const before = await rounds(client);
      pass(10);
      assert.equal(await rounds(client) - before, expected, name);
    }
  }));

  it('has a timer only while it may write', async () => {
    const active = new Set<object>();
    const set = mock.method(globalThis, 'setTimeout', () => {
      const timer = { unref: () => timer };
      active.add(timer);
      return timer;
    });
    const clear = mock.method(globalThis, 'clearTimeout', (timer: object) => void active.delete(timer));
    try {
      const client = await open();
      const timers: [string, number][] = [];
      const note = (what: string): void => void timers.push([what, active.size]);
      note('no program');
      await program(client, 0, PAGE);
      note('running');
      for (const name of ['PRE_COPY', 'PRE_COPY_P2P', 'STOP_COPY', 'STOP', 'RUNNING_P2P', 'RUNNING'] as const) {
        await go(client, abi[`VFIO_DEVICE_STATE_${name}`]);
        note(name);
      }
      await client.close();
      note('closed');
      assert.deepEqual(timers, [
        ['no program', 0], ['running', 1], ['PRE_COPY', 1], ['PRE_COPY_P2P', 0], ['STOP_COPY', 0], ['STOP', 0], ['RUNNING_P2P', 0],
        ['RUNNING', 1], ['closed', 0],
      ]);
    } finally {
      set.mock.restore();
      clear.mock.restore();
    }
  });

  it('that meets memory which is not mapped counts errors and goes on', inLab(async (client) => {
    await program(client, 15 * PAGE, 2 * PAGE);
    pass(30);
    const { sequence, errors, control } = await dmaOf(client);
    assert.deepEqual([sequence, errors, control], [0n, 3n, DMA_RUN]);
    assert.equal(client.memory[15 * PAGE], 0, 'nothing was written');
    await client.write(BAR0, LAB_REGISTERS, u64(0));
    pass(10);
    assert.equal(await rounds(client), 1);
  }));

  it('marks only pages that were written, when a client\'s memory is gone from behind a mapping', inLab(async (client) => {
    const { client: { caller }, gpu: { card: { dma } } } = client;
    const [space, port, there] = [new IovaSpace(), new DmaPort(), new Uint8Array(3 * PAGE)];
    caller.map(0x5000_0000n, there);
    // Pages 0 to 2 are there, 3 to 15 and a mapping of almost everything are not.
    const memory = caller.memory();
    space.maps.insert({ iova: 0n, last: BigInt(16 * PAGE - 1), vaddr: 0x5000_0000n, prot: 3, memory });
    space.maps.insert({ iova: BigInt(16 * PAGE), last: 1n << 60n, vaddr: 0x6000_0000n, prot: 3, memory });
    const marked = new Set<number>();
    const log = { mark: (iova: bigint, length: bigint): void => {
      for (let page = Number(iova) >> 12; page <= Number(iova + length - 1n) >> 12; page++) marked.add(page);
    } };
    port.space = space;
    port.keepLog(log);
    dma.attach(port);
    dma.write(8n, new Uint8Array(8 * PAGE).fill(1));
    assert.deepEqual([...marked], [0, 1, 2]);
    assert.ok(there.subarray(8).every((byte) => byte === 1));
    dma.write(BigInt(14 * PAGE), new Uint8Array(8 * PAGE));
    dma.write(BigInt(40 * PAGE), new Uint8Array(1));
    assert.deepEqual([...marked], [0, 1, 2]);
    assert.equal(dma.registers.errors, 3n);
  }));

  it('rests after a round for as long as it took, so that others get their turn', inLab(async (client) => {
    await program(client, 0, PAGE, 1);
    let now = 0;
    performance.now = (): number => (now += 25);
    pass(1);
    assert.equal(await rounds(client), 1);
    pass(24);
    assert.equal(await rounds(client), 1);
    pass(1);
    assert.equal(await rounds(client), 2);
  }));

  it('fills more than it writes at a time without a seam', inLab(async () => {
    const large = await new VgpuClient({}, 600).open();
    const [address, length] = [PAGE + 8, 590 * PAGE + 32];
    await program(large, address, length);
    pass(10);
    assert.ok(Buffer.from(large.memory.subarray(address, address + length)).equals(dmaPattern(1n, length)));
    assert.deepEqual([large.memory[address - 1], large.memory[address + length]], [0, 0]);
  }));

  it('counts rounds and errors as registers of 64 bits do, whatever a stream brings', inLab(async (client) => {
    const most = 0xffff_ffff_ffff_ffffn;
    const stream = (address: number): Uint8Array => {
      client.gpu.card.dma.set({ address: BigInt(address), length: 4096n, interval: 1, control: DMA_RUN, sequence: most, errors: most });
      return client.gpu.save();
    };
    const [good, notMapped] = [stream(0), stream(16 * PAGE)];
    client.gpu.load(good);
    pass(1);
    assert.deepEqual([(await dmaOf(client)).sequence, (await dmaOf(client)).errors], [0n, most]);
    assert.deepEqual(client.memory.subarray(0, PAGE), new Uint8Array(dmaPattern(0n, PAGE)));
    pass(1);
    assert.equal(await rounds(client), 1);
    client.gpu.load(notMapped);
    pass(1);
    assert.deepEqual([(await dmaOf(client)).sequence, (await dmaOf(client)).errors], [most, 0n]);
  }));

  it('a defect in a round is a line in the log, and the lab goes on', inLab(async (client) => {
    const lines: string[] = [];
    const former = setLogSink(({ name }) => void lines.push(name));
    const { dma } = client.gpu.card;
    const broken = (): never => { throw new RangeError('broken'); };
    dma.attach({ read: broken, write: broken, fill: broken, keepLog: () => () => undefined });
    await program(client, 0, PAGE);
    pass(10);
    setLogSink(former);
    assert.deepEqual(lines, ['log.error']);
  }));

  it('interrupts after a round if it shall', inLab(async (client) => {
    const { fd, eventfd } = client.client.caller.eventfd();
    const flags = abi.VFIO_IRQ_SET_DATA_EVENTFD | abi.VFIO_IRQ_SET_ACTION_TRIGGER;
    const argument = Buffer.concat([
      abi.vfio_irq_set.encode({ argsz: 24, flags, index: abi.VFIO_PCI_MSI_IRQ_INDEX, start: 0, count: 1 }), u32(fd),
    ]);
    assert.equal((await client.client.ioctl(client.device, abi.VFIO_DEVICE_SET_IRQS, argument)).errno, '0');
    await program(client, 0, PAGE, 10, DMA_RUN | DMA_INTERRUPT);
    pass(20);
    assert.equal(eventfd.drain(), 2n);
    await client.close();
    assert.equal(eventfd.copies, 0);
    eventfd.close();
  }));

  it('ends with a reset and with the client, and has no timer then', inLab(async (client) => {
    await program(client, 0, PAGE);
    pass(10);
    assert.equal((await client.client.ioctl(client.device, abi.VFIO_DEVICE_RESET)).errno, '0');
    assert.deepEqual(await dmaOf(client), gvt_dma_registers.zero());
    await program(client, 0, PAGE);
    await client.close();
    const before = client.memory[8];
    pass(1000);
    assert.equal(client.memory[8], before);
    await client.open();
    pass(1000);
    assert.equal(client.memory[8], before, 'the next client has not asked for it');
  }));

  it('goes on at the destination with the number after the source\'s last', inLab(async (client) => {
    await program(client, PAGE, PAGE);
    pass(50);
    await go(client, abi.VFIO_DEVICE_STATE_STOP_COPY);
    const target = await open();
    target.gpu.load(client.gpu.save());
    pass(10);
    assert.equal(await rounds(target), 6);
    assert.equal(target.memory[PAGE + 8], 6);
    assert.equal(await rounds(client), 5);
  }));
});

describe('the migration stream', () => {
  const written = async (): Promise<VgpuClient> => {
    const client = await open();
    await client.writeRegister(0x10, 1);
    await client.writeRegister(9 * MIB, 2);
    await client.write(CONFIG, PCI_COMMAND, Uint8Array.of(6, 4));
    await client.write(CONFIG, PCI_BASE_ADDRESS_0, u32(0xfd00_0000));
    return client;
  };

  it('has what was written, in ascending pages, and is as long as it says', async () => {
    const client = await written();
    const stream = client.gpu.save();
    assert.equal(stream.length, client.gpu.stateSize);
    assert.equal(stream.length, gvt_state_header.size + gvt_state_body.size + 2 * gvt_state_page.size);
    assert.equal(Buffer.from(stream.subarray(0, 8)).toString(), 'gvtstate');
    const page = (n: number): bigint => gvt_state_page.decode(stream, stream.length - (2 - n) * gvt_state_page.size).number;
    assert.deepEqual([page(0), page(1)], [0n, BigInt(9 * MIB / PAGE)]);
  });

  it('makes another device the same, whatever it had before', async () => {
    const client = await written();
    const target = await open();
    await target.writeRegister(0x5000, 0x99);
    target.gpu.load(client.gpu.save());
    assert.equal(await target.readRegister(0x5000), 0);
    for (const [index, offset, length] of [[BAR0, 0, 64], [BAR0, 9 * MIB, 64], [CONFIG, 0, 256]] as const) {
      assert.deepEqual(await target.read(index, offset, length), await client.read(index, offset, length));
    }
    assert.deepEqual(target.gpu.save(), client.gpu.save());
  });

  it('of a device with every page written is as large as it gets, and moves through data files', async () => {
    const client = await open();
    const content = new Uint8Array(16 * MIB).map((_, n) => n * 7 + (n >> 12));
    content.fill(0, LAB_REGISTERS, LAB_REGISTERS + PAGE);
    await client.write(BAR0, 0, content);
    assert.equal(client.gpu.stateSize, client.gpu.largestState - gvt_state_page.size, 'all but the lab\'s page');
    const saving = await client.gpu.migration.setState(client.client.request, abi.VFIO_DEVICE_STATE_STOP_COPY);
    const target = await open();
    const resuming = await target.gpu.migration.setState(target.client.request, abi.VFIO_DEVICE_STATE_RESUMING);
    for (;;) {
      const data = await saving?.read?.(client.client.request, 0, MIB) ?? new Uint8Array(0);
      if (data.length === 0) break;
      await resuming?.write?.(target.client.request, 0, data);
    }
    const tooMuch = new Uint8Array(gvt_state_page.size + 1);
    assert.throws(() => resuming?.write?.(target.client.request, 0, tooMuch), { code: 'ENOMEM' });
    await target.gpu.migration.setState(target.client.request, abi.VFIO_DEVICE_STATE_RUNNING);
    assert.ok((await target.read(BAR0, 0, content.length)).equals(content));
  });

  it('that was cut or makes no sense is EINVAL and changes nothing', async () => {
    const stream = (await written()).gpu.save();
    const body = gvt_state_header.size;
    const firstPage = body + gvt_state_body.size;
    const patched = (change: (copy: Uint8Array) => void): Uint8Array => {
      const copy = stream.slice();
      change(copy);
      return copy;
    };
    const wrong = [
      stream.subarray(0, body), stream.subarray(0, body + 10), stream.subarray(0, -1), Buffer.concat([stream, Buffer.alloc(1)]),
      new Uint8Array(0), patched((copy) => gvt_state_header.patch(copy, { version: 2 })),
      patched((copy) => gvt_state_body.patch(copy, { pages: 1 }, body)),
      patched((copy) => gvt_state_body.patch(copy, { pages: 0xffff_ffff }, body)),
      patched((copy) => gvt_state_page.patch(copy, { number: 0x10000n }, firstPage + gvt_state_page.size)),
      patched((copy) => gvt_state_page.patch(copy, { number: BigInt(9 * MIB / PAGE) }, firstPage)),
    ];
    const target = await open();
    await target.writeRegister(0x10, 0x77);
    for (const [n, bytes] of wrong.entries()) {
      assert.throws(() => target.gpu.load(bytes), { code: 'EINVAL' }, `case ${n}`);
      assert.equal(await target.readRegister(0x10), 0x77);
    }
  });

  it('cannot make read-only configuration space another', async () => {
    const stream = (await written()).gpu.save();
    const config = new Uint8Array(256).fill(0xff);
    gvt_state_body.patch(stream, { config }, gvt_state_header.size);
    const target = await open();
    target.gpu.load(stream);
    assert.equal((await target.read(CONFIG, 0, 4)).toString('hex'), '86801219');
  });
});
