/**
 * Arguments that no well-meaning client passes: every ioctl of containers, groups and devices with addresses that fault, sizes
 * and counts up to the largest, and random bytes. Each gets an errno; what did not succeed changes nothing.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ioc } from '../../src/abi/ioctl.js';
import * as abi from '../../src/abi/vfio.js';
import { MttyDevice } from '../../src/drivers/mtty/device.js';
import type { VfioContainerFile } from '../../src/vfio/container.js';
import { FakeOwnedFd } from '../fakes/caller.js';
import { expect0, UUID_A, VfioClient } from './vfio-client.js';
import type { VfioRegistration } from '../../src/vfio/registrar.js';

type Target = 'container' | 'group' | 'device';

class Bench {
  readonly client = new VfioClient({ slots: 8 });
  readonly card = new MttyDevice(1, {});
  readonly registration: VfioRegistration;
  fds: Readonly<Record<Target, number>> = { container: -1, group: -1, device: -1 };

  constructor() {
    this.registration = this.client.vfio.register({ name: UUID_A }, this.card);
  }

  static async open(): Promise<Bench> {
    const bench = new Bench();
    bench.fds = await bench.client.openDevice(bench.registration);
    const map = abi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags: 3, vaddr: 0x1000n, iova: 0x10000n, size: 0x4000n });
    expect0(await bench.client.ioctl(bench.fds.container, abi.VFIO_IOMMU_MAP_DMA, map));
    return bench;
  }

  /** What a failed call must leave alone. */
  state(): unknown {
    const { container } = this.client.file(this.fds.container) as VfioContainerFile;
    return {
      maps: [...container.iommu?.space.maps.values() ?? []].map(({ iova, last }) => [iova, last]),
      tracking: container.iommu?.log !== undefined,
      status: this.registration.group.status(),
      opens: this.registration.device.openCount,
      descriptors: this.client.caller.fds.size,
      eventfds: FakeOwnedFd.openCount,
      migration: this.card.migration.getState(),
    };
  }
}

/** Commands that read a struct; `size` is its smallest version. */
const STRUCTS: readonly (readonly [Target, string, number, number])[] = [
  ['container', 'VFIO_IOMMU_GET_INFO', abi.VFIO_IOMMU_GET_INFO, 16],
  ['container', 'VFIO_IOMMU_MAP_DMA', abi.VFIO_IOMMU_MAP_DMA, 32],
  ['container', 'VFIO_IOMMU_UNMAP_DMA', abi.VFIO_IOMMU_UNMAP_DMA, 24],
  ['container', 'VFIO_IOMMU_DIRTY_PAGES', abi.VFIO_IOMMU_DIRTY_PAGES, 8],
  ['group', 'VFIO_GROUP_GET_STATUS', abi.VFIO_GROUP_GET_STATUS, 8],
  ['device', 'VFIO_DEVICE_GET_INFO', abi.VFIO_DEVICE_GET_INFO, 16],
  ['device', 'VFIO_DEVICE_GET_REGION_INFO', abi.VFIO_DEVICE_GET_REGION_INFO, 32],
  ['device', 'VFIO_DEVICE_GET_IRQ_INFO', abi.VFIO_DEVICE_GET_IRQ_INFO, 16],
  ['device', 'VFIO_DEVICE_SET_IRQS', abi.VFIO_DEVICE_SET_IRQS, 20],
  ['device', 'VFIO_DEVICE_FEATURE', abi.VFIO_DEVICE_FEATURE, 8],
];

const U64_MAX = (1n << 64n) - 1n;

describe('every ioctl with a struct', () => {
  for (const [target, name, command, size] of STRUCTS) {
    it(`${name} rejects an address that can't be read with EFAULT`, async () => {
      const bench = await Bench.open();
      const before = bench.state();
      const page = bench.client.caller.allocate(4096);
      // Nothing there, the end of the address space, and a struct of which the last byte is in the next, unmapped page.
      for (const address of [0n, 8n, U64_MAX, U64_MAX - BigInt(size) + 1n, page + 4096n - BigInt(size) + 1n]) {
        const { errno } = await bench.client.ioctl(bench.fds[target], command, address);
        assert.equal(errno, 'EFAULT', `at ${address.toString(16)}`);
      }
      assert.deepEqual(bench.state(), before);
    });

    it(`${name} rejects an argsz below ${size} with EINVAL`, async () => {
      const bench = await Bench.open();
      const before = bench.state();
      for (let argsz = 0; argsz < size; argsz++) {
        const argument = new Uint8Array(256);
        new DataView(argument.buffer).setUint32(0, argsz, true);
        assert.equal((await bench.client.ioctl(bench.fds[target], command, argument)).errno, 'EINVAL', `argsz ${argsz}`);
      }
      assert.deepEqual(bench.state(), before);
    });
  }
});

describe('sizes and counts that are claimed', () => {
  it('an argsz of 4 GiB is as good as one that fits', async () => {
    const bench = await Bench.open();
    for (const [target, name, command] of STRUCTS) {
      const argument = new Uint8Array(256);
      new DataView(argument.buffer).setUint32(0, 0xffff_ffff, true);
      const { errno } = await bench.client.ioctl(bench.fds[target], command, argument);
      assert.ok(['0', 'EINVAL', 'ENOTTY'].includes(errno), `${name}: ${errno}`);
    }
  });

  it('SET_IRQS rejects counts and starts up to the largest with EINVAL', async () => {
    const bench = await Bench.open();
    expect0(await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_GET_INFO, abi.vfio_device_info.encode({ argsz: 16 })));
    const before = bench.state();
    for (const [start, count] of [[0, 0xffff_ffff], [0xffff_ffff, 0xffff_ffff], [1, 0xffff_fffe], [0xffff_fffe, 2], [0, 0x4000_0001], [0, 1 << 30]] as const) {
      for (const data of [abi.VFIO_IRQ_SET_DATA_NONE, abi.VFIO_IRQ_SET_DATA_BOOL, abi.VFIO_IRQ_SET_DATA_EVENTFD]) {
        const argument = abi.vfio_irq_set.encode({ argsz: 0xffff_ffff, flags: data | abi.VFIO_IRQ_SET_ACTION_TRIGGER, index: 0, start, count });
        assert.equal((await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_SET_IRQS, argument)).errno, 'EINVAL', `${start} ${count}`);
      }
    }
    assert.deepEqual(bench.state(), before);
  });

  it('SET_IRQS knows one interrupt at the index of migration_block', async () => {
    const bench = await Bench.open();
    expect0(await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_GET_INFO, abi.vfio_device_info.encode({ argsz: 16 })));
    for (const [start, count, errno] of [[0, 1, '0'], [0, 2, 'EINVAL'], [1, 1, 'EINVAL'], [1, 0, 'EINVAL']] as const) {
      const flags = abi.VFIO_IRQ_SET_DATA_BOOL | abi.VFIO_IRQ_SET_ACTION_TRIGGER;
      const header = abi.vfio_irq_set.encode({ argsz: 64, flags, index: abi.VFIO_PCI_NUM_IRQS, start, count });
      const result = await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_SET_IRQS, Buffer.concat([header, new Uint8Array(44)]));
      assert.equal(result.errno, errno, `${start} ${count}`);
    }
  });

  it('bitmaps and ranges up to the largest are refused without a look at them', async () => {
    const bench = await Bench.open();
    const { client, fds } = bench;
    expect0(await client.ioctl(fds.container, abi.VFIO_IOMMU_DIRTY_PAGES, abi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 8, flags: 1 })));
    const before = bench.state();
    for (const [iova, size, pgsize, bitmapSize, data] of [
      [0n, U64_MAX - 0xfffn, 4096n, U64_MAX, 0x1000n], [0n, U64_MAX - 0xfffn, 4096n, 1n << 28n, 0x1000n], [0n, 4096n, U64_MAX, 8n, 0x1000n],
      [0n, 4096n, 4096n, U64_MAX, U64_MAX], [U64_MAX - 0xfffn, 8192n, 4096n, 8n, 0x1000n], [0n, 4096n, 4096n, 8n, 1n << 60n],
    ] as const) {
      const get = abi.vfio_iommu_type1_dirty_bitmap_get.encode({ iova, size, bitmap: { pgsize, size: bitmapSize, data } });
      const header = abi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 0xffff_ffff, flags: abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP });
      assert.equal((await client.ioctl(fds.container, abi.VFIO_IOMMU_DIRTY_PAGES, Buffer.concat([header, get]))).errno, 'EINVAL');
      const unmap = abi.vfio_iommu_type1_dma_unmap.encode({ argsz: 48, flags: 1, iova, size });
      const bitmap = abi.vfio_bitmap.encode({ pgsize, size: bitmapSize, data });
      assert.equal((await client.ioctl(fds.container, abi.VFIO_IOMMU_UNMAP_DMA, Buffer.concat([unmap, bitmap]))).errno, 'EINVAL');
    }
    assert.deepEqual(bench.state(), before);
  });
});

describe('a feature at the edge of memory', () => {
  const header = (flags: number, argsz: number): Uint8Array => abi.vfio_device_feature.encode({ argsz, flags });

  it('needs no byte beyond what it reads', async () => {
    const bench = await Bench.open();
    const stop = bench.client.caller.allocate(header(abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, 0xffff_ffff));
    assert.equal((await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_FEATURE, stop)).errno, '0');
    const get = bench.client.caller.allocate(header(abi.VFIO_DEVICE_FEATURE_GET | abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 16));
    assert.equal((await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_FEATURE, get)).errno, 'EFAULT');
  });

  it('is read across the border of two pages', async () => {
    const bench = await Bench.open();
    const pages = bench.client.caller.allocate(8192);
    for (let before = 1; before < 16; before++) {
      const address = pages + 4096n - BigInt(before);
      bench.client.caller.write(address, Buffer.concat([header(abi.VFIO_DEVICE_FEATURE_GET | abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 16), new Uint8Array(8)]));
      assert.equal((await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_FEATURE, address)).errno, '0');
      const { device_state } = abi.vfio_device_feature_mig_state.decode(bench.client.caller.read(address + 8n, 8));
      assert.equal(device_state, abi.VFIO_DEVICE_STATE_RUNNING);
    }
  });
});

describe('replies that can\'t be written', () => {
  it('MIG_DEVICE_STATE with a read-only argument is EFAULT; the transition has happened and no descriptor is left', async () => {
    const bench = await Bench.open();
    const flags = abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
    const argument = Buffer.concat([abi.vfio_device_feature.encode({ argsz: 16, flags }),
      abi.vfio_device_feature_mig_state.encode({ device_state: abi.VFIO_DEVICE_STATE_PRE_COPY })]);
    const before = bench.client.caller.fds.size;
    const address = bench.client.caller.allocate(argument, false);
    assert.equal((await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_FEATURE, address)).errno, 'EFAULT');
    assert.equal(bench.card.migration.getState(), abi.VFIO_DEVICE_STATE_PRE_COPY);
    assert.equal(bench.client.caller.fds.size, before);
  });

  it('MIG_DEVICE_STATE without a free slot is EMFILE, leaves the argument, and the transition has happened', async () => {
    const bench = await Bench.open();
    for (let n = 0; n < 7; n++) bench.client.caller.giveFd({ kind: 'filler', release: () => undefined });
    const flags = abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
    const argument = Buffer.concat([abi.vfio_device_feature.encode({ argsz: 16, flags }),
      abi.vfio_device_feature_mig_state.encode({ device_state: abi.VFIO_DEVICE_STATE_STOP_COPY, data_fd: 77 })]);
    const result = await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_FEATURE, argument);
    assert.equal(result.errno, 'EMFILE');
    assert.deepEqual(abi.vfio_device_feature_mig_state.decode(result.bytes, 8), { device_state: abi.VFIO_DEVICE_STATE_STOP_COPY, data_fd: 77 });
    assert.equal(bench.card.migration.getState(), abi.VFIO_DEVICE_STATE_STOP_COPY);
  });

  it('DMA_LOGGING_START with a read-only argument is EFAULT and nothing is logged', async () => {
    const bench = await Bench.open();
    const ranges = bench.client.caller.allocate(new Uint8Array(new BigUint64Array([0x10000n, 0x1000n]).buffer));
    const flags = abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
    const argument = Buffer.concat([abi.vfio_device_feature.encode({ argsz: 32, flags }),
      abi.vfio_device_feature_dma_logging_control.encode({ page_size: 4096n, num_ranges: 1, ranges })]);
    const address = bench.client.caller.allocate(argument, false);
    assert.equal((await bench.client.ioctl(bench.fds.device, abi.VFIO_DEVICE_FEATURE, address)).errno, 'EFAULT');
    assert.equal(bench.registration.device.dma.logs.size, 0);
  });
});

describe('random bytes', () => {
  /** xorshift32: the same bytes in every run. */
  function random(seed: number): () => number {
    let state = seed;
    return () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state >>> 0;
    };
  }

  it('20,000 ioctls with random arguments answer with an errno or a result, and nothing leaks', async () => {
    const bench = await Bench.open();
    const next = random(20261121);
    const targets: readonly Target[] = ['container', 'group', 'device'];
    const eventfds = FakeOwnedFd.openCount;
    for (let n = 0; n < 20_000; n++) {
      const target = targets[next() % 3] ?? 'device';
      const command = next() % 8 === 0 ? next() : ioc(0, abi.VFIO_TYPE, 100 + next() % 24, 0);
      // What would take away the files under test is left out.
      if (command === abi.VFIO_GROUP_UNSET_CONTAINER) continue;
      const argument = new Uint8Array(64);
      for (let at = 0; at < argument.length; at += 4) {
        new DataView(argument.buffer).setUint32(at, next() % 3 === 0 ? next() : next() % 64, true);
      }
      const { ret } = await bench.client.ioctl(bench.fds[target], command, argument);
      if (target === 'group' && ret > 2) await bench.client.close(ret);
    }
    for (const fd of [...bench.client.caller.fds.keys()].reverse()) await bench.client.close(fd);
    assert.equal(bench.registration.inUse, false);
    assert.equal(FakeOwnedFd.openCount, eventfds, 'copies of eventfds');
    assert.equal(bench.registration.unregister(), undefined);
  });
});
