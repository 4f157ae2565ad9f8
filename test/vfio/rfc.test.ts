/** The proposals of 2017 and 2018 on the lab's side: a vGPU in memory, every answer and every refusal. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../src/abi/vfio.js';
import * as rfc from '../../src/abi/vfio-rfc.js';
import { DEFAULT_PROFILE } from '../../src/abi/kernel-profile.js';
import { attachRfcContainer } from '../../src/vfio/rfc-dirty-bitmap.js';
import { Type1 } from '../../src/vfio/type1.js';
import { generated_record } from '../../src/vfio/generated-state.js';
import { cString, expect0, FakeDevice, int32, UUID_A, UUID_B } from './vfio-client.js';
import { RfcClient, START_OF } from './rfc-client.js';
import { u64 } from './vgpu-client.js';
import type { Version } from './rfc-client.js';

const VERSIONS: readonly Version[] = ['rfc', 'rfc-v2', 'rfc-v3'];
const state = (client: RfcClient): string => client.state;
/** The lab's page in BAR0 is no state of its own; this is. */
const REGISTER = 0x2000;
const MARK = Uint8Array.of(1, 2, 3, 4);

describe('a container with a device of rfc-v2 or rfc-v3', () => {
  it('goes on with the log that its client has started when the device is closed', () => {
    const iommu = new Type1(BigInt(abi.VFIO_TYPE1v2_IOMMU), DEFAULT_PROFILE);
    const client = Symbol('client');
    iommu.startLog(client);
    const { log } = iommu;
    const detach = [attachRfcContainer(iommu), attachRfcContainer(iommu)];
    assert.notEqual(iommu.ioctlKind, undefined);
    for (const undo of detach) undo();
    assert.equal(iommu.log, log);
    assert.equal(iommu.ioctlKind, undefined);
    iommu.stopLog(client);
    assert.equal(iommu.log, undefined);
  });

  it('has a log as long as one of them is open', () => {
    const iommu = new Type1(BigInt(abi.VFIO_TYPE1v2_IOMMU), DEFAULT_PROFILE);
    const [first, second] = [attachRfcContainer(iommu), attachRfcContainer(iommu)];
    first();
    assert.notEqual(iommu.log, undefined);
    second();
    assert.equal(iommu.log, undefined);
  });
});

describe('what a device of each version says of itself', () => {
  for (const version of VERSIONS) {
    it(`${version}: GET_INFO and REGION_INFO of index 9`, async () => {
      const client = await RfcClient.openNew(version);
      const info = abi.vfio_device_info.decode(expect0(await client.client.ioctl(client.device, abi.VFIO_DEVICE_GET_INFO,
        abi.vfio_device_info.encode({ argsz: 16 }))).bytes);
      assert.equal((info.flags & rfc.VFIO_DEVICE_FLAGS_MIGRATABLE) !== 0, version === 'rfc');
      assert.equal(info.num_regions, 10);
      const argument = new Uint8Array(64);
      abi.vfio_region_info.patch(argument, { argsz: 64, index: rfc.VFIO_PCI_DEVICE_STATE_REGION_INDEX });
      const { bytes } = expect0(await client.client.ioctl(client.device, abi.VFIO_DEVICE_GET_REGION_INFO, argument));
      const region = abi.vfio_region_info.decode(bytes);
      assert.equal(region.offset, BigInt(rfc.VFIO_PCI_DEVICE_STATE_REGION_INDEX) << 40n);
      assert.equal(Number(region.size), START_OF[version] + rfc.gvt_image_header.size + client.gpu.largestState);
      const access = abi.VFIO_REGION_INFO_FLAG_READ | abi.VFIO_REGION_INFO_FLAG_WRITE;
      if (version === 'rfc') {
        assert.deepEqual([region.flags, region.cap_offset], [access, 0]);
        return;
      }
      assert.deepEqual([region.flags, region.cap_offset], [access | abi.VFIO_REGION_INFO_FLAG_CAPS, 32]);
      const { header, type, subtype } = abi.vfio_region_info_cap_type.decode(bytes, region.cap_offset);
      assert.equal(header.id, abi.VFIO_REGION_INFO_CAP_TYPE);
      assert.deepEqual([type, subtype], version === 'rfc-v2' ? [0x80008086, 4] : [1 << 30, 1]);
    });
  }

  it('none has the features of v2', async () => {
    for (const version of VERSIONS) {
      const client = await RfcClient.openNew(version);
      for (const feature of [abi.VFIO_DEVICE_FEATURE_MIGRATION, abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START]) {
        const asked = abi.vfio_device_feature.encode({ argsz: 8, flags: abi.VFIO_DEVICE_FEATURE_PROBE | feature });
        assert.equal((await client.client.ioctl(client.device, abi.VFIO_DEVICE_FEATURE, asked)).errno, 'ENOTTY', version);
      }
    }
  });

  it('only v1 has the ioctls of v1', async () => {
    for (const version of ['rfc-v2', 'rfc-v3'] as const) {
      const client = await RfcClient.openNew(version);
      assert.equal((await client.status(rfc.VFIO_DEVICE_PCI_STOP)).errno, 'ENOTTY');
      assert.equal((await client.client.ioctl(client.device, rfc.VFIO_DEVICE_PCI_GET_DIRTY_BITMAP)).errno, 'ENOTTY');
    }
  });
});

describe('stop, save, restore, start', () => {
  for (const version of VERSIONS) {
    for (const piece of [7, 1 << 20]) {
      it(`${version}: what one device saved another one has, in pieces of ${piece}`, { timeout: 60_000 }, async () => {
        const source = await RfcClient.openNew(version);
        const target = await RfcClient.openNew(version);
        source.gpu.card.writeMmio(REGISTER, MARK);
        expect0(await source.set('stop'));
        assert.equal(state(source), 'STOP_COPY');
        const whole = await source.image();
        // The smallest pieces only as far as there is something.
        const used = rfc.gvt_image_header.size + Number(rfc.gvt_image_header.decode(whole).data_size);
        await target.load(whole.subarray(0, piece < 1 << 20 ? used : whole.length), piece);
        assert.equal(state(target), 'RESUMING');
        expect0(await target.set('start'));
        assert.equal(state(target), 'RUNNING');
        assert.deepEqual(target.gpu.card.readMmio(REGISTER, 4), MARK);
        assert.ok(whole.subarray(used).every((byte) => byte === 0));
        expect0(await source.set('start'));
        assert.equal(state(source), 'RUNNING');
      });
    }

    it(`${version}: with generated state, which both ends must have room for`, { timeout: 60_000 }, async () => {
      const source = await RfcClient.openNew(version);
      const target = await RfcClient.openNew(version);
      const before = await source.regionSize();
      source.gpu.controls.faults.stateSize = 3 << 20;
      assert.equal(await source.regionSize(), before + (3 << 20) + 2 * generated_record.size);
      expect0(await source.set('stop'));
      const image = await source.image(300_001);
      await assert.rejects(target.load(image), { code: 'EINVAL' });
      target.gpu.controls.faults.stateSize = 3 << 20;
      await target.load(image, 999_999);
      expect0(await target.set('start'));
    });
  }

  it('byte 0 tells what was written to it, and by itself', async () => {
    const client = await RfcClient.openNew('rfc-v3');
    assert.deepEqual([...await client.readState(0, 1)], [rfc.VFIO_DEVICE_START]);
    expect0(await client.tryWriteState(0, [rfc.VFIO_DEVICE_STOP]));
    assert.deepEqual([...await client.readState(0, 1)], [rfc.VFIO_DEVICE_STOP]);
    // Twice the same is no error.
    expect0(await client.tryWriteState(0, [rfc.VFIO_DEVICE_STOP]));
    expect0(await client.tryWriteState(0, [rfc.VFIO_DEVICE_START]));
    expect0(await client.tryWriteState(0, [rfc.VFIO_DEVICE_START]));
  });

  it('the image is saved anew when it is read from its first byte, and is the state of the stop', async () => {
    const client = await RfcClient.openNew('rfc');
    expect0(await client.set('stop'));
    const first = await client.image();
    assert.deepEqual(await client.image(), first);
    assert.equal(state(client), 'STOP_COPY');
  });

  it('what was loaded by half is forgotten when it is loaded anew', async () => {
    const source = await RfcClient.openNew('rfc-v2');
    source.gpu.card.writeMmio(REGISTER, MARK);
    expect0(await source.set('stop'));
    const image = await source.image();
    const target = await RfcClient.openNew('rfc-v2');
    await target.writeState(1, image.subarray(0, 100));
    await target.load(image);
    expect0(await target.set('start'));
    assert.deepEqual(target.gpu.card.readMmio(REGISTER, 4), MARK);
  });

  it('a device that is stopped is started by its last close, and one that is being loaded too', async () => {
    for (const version of VERSIONS) {
      const client = await RfcClient.openNew(version);
      expect0(await client.set('stop'));
      await client.close();
      assert.equal(state(client), 'RUNNING');
      await client.open();
      await client.writeState(START_OF[version], Uint8Array.of(1));
      assert.equal(state(client), 'RESUMING');
      await client.close();
      assert.equal(state(client), 'RUNNING');
    }
  });

  it('a reset starts it', async () => {
    const client = await RfcClient.openNew('rfc');
    expect0(await client.set('stop'));
    expect0(await client.client.ioctl(client.device, abi.VFIO_DEVICE_RESET));
    assert.deepEqual([state(client), (await client.tryReadState(0, 16)).errno], ['RUNNING', 'EINVAL']);
    expect0(await client.set('stop'));
    assert.equal((await client.tryReadState(0, 16)).ret, 16);
  });
});

describe('what is refused', () => {
  it('setStatus() rejects a short argsz and flags that are not exactly one with EINVAL, no memory with EFAULT', async () => {
    const client = await RfcClient.openNew('rfc');
    assert.equal((await client.status(rfc.VFIO_DEVICE_PCI_STOP, 7)).errno, 'EINVAL');
    for (const flags of [0, 3, 4, 5]) assert.equal((await client.status(flags)).errno, 'EINVAL', String(flags));
    assert.equal((await client.client.ioctl(client.device, rfc.VFIO_DEVICE_PCI_STATUS_SET, 8n)).errno, 'EFAULT');
    assert.equal(state(client), 'RUNNING');
  });

  it('byte 0 rejects other lengths and other values with EFAULT', async () => {
    const client = await RfcClient.openNew('rfc-v3');
    assert.equal((await client.tryReadState(0, 2)).errno, 'EFAULT');
    assert.equal((await client.tryWriteState(0, [1, 1])).errno, 'EFAULT');
    assert.equal((await client.tryWriteState(0, [2])).errno, 'EFAULT');
    assert.equal(state(client), 'RUNNING');
  });

  for (const version of VERSIONS) {
    const at = START_OF[version];
    it(`${version}: reading the image is EINVAL when started, out of order, past its end, and while loading`, async () => {
      const client = await RfcClient.openNew(version);
      assert.equal((await client.tryReadState(at, 16)).errno, 'EINVAL');
      expect0(await client.set('stop'));
      assert.equal((await client.tryReadState(at + 1, 16)).errno, 'EINVAL');
      assert.equal((await client.tryReadState(at, 16)).ret, 16);
      assert.equal((await client.tryReadState(at + 17, 1)).errno, 'EINVAL');
      assert.equal((await client.tryReadState(at + 16, 1)).ret, 1);
      assert.equal((await client.tryReadState(await client.regionSize(), 1)).errno, 'EINVAL');
      await client.writeState(at, Uint8Array.of(1));
      assert.equal((await client.tryReadState(at, 1)).errno, 'EINVAL');
    });

    it(`${version}: the image can't be written out of order, past its end, or with another header: EINVAL`, async () => {
      const client = await RfcClient.openNew(version);
      assert.equal((await client.tryWriteState(at + 1, [0])).errno, 'EINVAL');
      assert.equal(state(client), 'RUNNING');
      const header = { type: rfc.GVT_MIGRATION_HEAD, size: 8, data_size: 100n };
      for (const wrong of [{ type: 2 }, { size: 9 }, { data_size: BigInt(client.gpu.largestState) + 1n }]) {
        assert.equal((await client.tryWriteState(at, rfc.gvt_image_header.encode({ ...header, ...wrong }))).errno, 'EINVAL');
      }
      expect0(await client.tryWriteState(at, rfc.gvt_image_header.encode(header)));
      assert.equal((await client.tryWriteState(at + 15, [0])).errno, 'EINVAL');
      assert.equal((await client.tryWriteState(await client.regionSize(), [0])).errno, 'EINVAL');
    });

    it(`${version}: a start with half an image, or another type's, is EINVAL, and the device keeps loading`, async () => {
      const source = await RfcClient.openNew(version);
      expect0(await source.set('stop'));
      const image = await source.image();
      const target = await RfcClient.openNew(version);
      const used = 16 + Number(rfc.gvt_image_header.decode(image).data_size);
      await target.writeState(at, image.subarray(0, used - 1));
      assert.equal((await target.set('start')).errno, 'EINVAL');
      assert.equal(state(target), 'RESUMING');
      await target.writeState(at + used - 1, image.subarray(used - 1, used));
      expect0(await target.set('start'));
      const spoilt = Buffer.from(image);
      spoilt[16] = (spoilt[16] ?? 0) ^ 1;
      assert.equal((await target.tryWriteState(at, spoilt)).errno, 'EINVAL');
      assert.equal((await target.set('start')).errno, 'EINVAL');
    });
  }

  it('faults are those of the states behind it', async () => {
    const client = await RfcClient.openNew('rfc-v3');
    client.gpu.controls.faults.fails = new Map([[abi.VFIO_DEVICE_STATE_STOP_COPY, { code: 'EBUSY', count: 1, entersError: false }]]);
    // A step that fails is no refusal, whatever its errno.
    assert.deepEqual([(await client.set('stop')).errno, state(client)], ['EBUSY', 'RUNNING']);
    expect0(await client.set('stop'));
    client.gpu.controls.faults.streamFail = { byte: 100, code: 'EIO' };
    assert.equal((await client.tryReadState(1, 4096)).ret, 16 + 100);
    assert.equal((await client.tryReadState(1 + 116, 4096)).errno, 'EIO');
    client.gpu.controls.faults.streamFail = undefined;
    client.gpu.controls.faults.streamCut = 200;
    assert.equal((await client.tryReadState(1 + 116, 4096)).ret, 100);
    assert.equal((await client.tryReadState(1 + 216, 4096)).ret, 0);
    expect0(await client.set('start'));
    client.gpu.controls.faults.fails = new Map([[abi.VFIO_DEVICE_STATE_STOP, { code: 'EIO', count: 1, entersError: true }]]);
    assert.deepEqual([(await client.set('stop')).errno, state(client)], ['EIO', 'ERROR']);
    assert.equal((await client.set('start')).errno, 'EINVAL');
    await client.close();
    assert.equal(state(client), 'ERROR', 'which only a reset leaves');
  });

  it('a stop or a start that fails on the way leaves the device where it was', async () => {
    const fail = (client: RfcClient, at: number, count = 1): void => {
      client.gpu.controls.faults.fails = new Map([[at, { code: 'EIO', count, entersError: false }]]);
    };
    for (const at of [abi.VFIO_DEVICE_STATE_RUNNING_P2P, abi.VFIO_DEVICE_STATE_STOP, abi.VFIO_DEVICE_STATE_STOP_COPY]) {
      const client = await RfcClient.openNew('rfc-v3');
      fail(client, at);
      assert.deepEqual([(await client.set('stop')).errno, state(client)], ['EIO', 'RUNNING'], String(at));
      assert.deepEqual([...await client.readState(0, 1)], [rfc.VFIO_DEVICE_START]);
      expect0(await client.set('stop'));
      const image = await client.image();
      fail(client, abi.VFIO_DEVICE_STATE_RUNNING);
      assert.deepEqual([(await client.set('start')).errno, state(client)], ['EIO', 'STOP_COPY'], String(at));
      assert.deepEqual(await client.image(), image, 'saved anew');
      fail(client, abi.VFIO_DEVICE_STATE_RUNNING);
      assert.deepEqual([(await client.set('start')).errno, state(client)], ['EIO', 'STOP_COPY'], String(at));
      assert.deepEqual(await client.image(), image, 'and read from its first byte after a stop that was not read');
    }
  });

  it('a step that fails with EBUSY is not taken for a policy that refuses, not even where the device is stopped', async () => {
    const client = await RfcClient.openNew('rfc', { blocker: 'enforce' });
    client.gpu.controls.blocker.set(true);
    expect0(await client.set('stop'));
    client.gpu.controls.blocker.set(false);
    client.gpu.controls.faults.fails = new Map([[abi.VFIO_DEVICE_STATE_STOP_COPY, { code: 'EBUSY', count: 1, entersError: false }]]);
    assert.deepEqual([(await client.set('stop')).errno, state(client)], ['EBUSY', 'STOP']);
    expect0(await client.set('stop'));
    assert.equal(state(client), 'STOP_COPY');
  });
});

describe('migration_block and the policies', () => {
  const blockedAt = (client: RfcClient): string => {
    try {
      client.gpu.controls.blocker.set(true);
      client.gpu.controls.blocker.set(false);
      return 'accepted';
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  it('track: EBUSY from the stop to the start, on the destination from the first byte to the start', async () => {
    const source = await RfcClient.openNew('rfc');
    assert.equal(blockedAt(source), 'accepted');
    expect0(await source.set('stop'));
    assert.equal(blockedAt(source), 'EBUSY');
    const image = await source.image();
    expect0(await source.set('start'));
    assert.equal(blockedAt(source), 'accepted');
    await source.writeState(0, image.subarray(0, 1));
    assert.equal(blockedAt(source), 'EBUSY');
  });

  it('observe: never, because nobody asks for the size', async () => {
    const client = await RfcClient.openNew('rfc-v3', { blocker: 'observe' });
    await client.regionSize();
    expect0(await client.set('stop'));
    await client.image();
    assert.equal(blockedAt(client), 'accepted');
  });

  it('notify: from the notice to its end', async () => {
    const client = await RfcClient.openNew('rfc-v3', { blocker: 'notify' });
    expect0(await client.set('stop'));
    assert.equal(blockedAt(client), 'accepted');
    client.gpu.controls.blocker.noticeStart();
    assert.equal(blockedAt(client), 'EBUSY');
  });

  it('enforce: a blocked device can be stopped, but not saved; when it is no longer blocked, it can', async () => {
    for (const version of VERSIONS) {
      const client = await RfcClient.openNew(version, { blocker: 'enforce' });
      client.gpu.controls.blocker.set(true);
      expect0(await client.set('stop'));
      assert.equal(state(client), 'STOP');
      assert.equal((await client.tryReadState(START_OF[version], 16)).errno, 'EBUSY');
      expect0(await client.set('start'));
      expect0(await client.set('stop'));
      client.gpu.controls.blocker.set(false);
      assert.equal((await client.tryReadState(START_OF[version], 16)).ret, 16);
      assert.equal(blockedAt(client), 'EBUSY');
    }
  });
});

describe('the dirty bitmap', () => {
  const write = (client: RfcClient, page: number): void => {
    const dma = client.gpu.card.dma;
    dma.write(BigInt(page) * 4096n, MARK);
  };

  for (const version of VERSIONS) {
    it(`${version}: tells what was written since the device was opened, and forgets nothing`, async () => {
      const client = await RfcClient.openNew(version);
      assert.equal(await client.dirty(0n, 64n), `${'00'.repeat(8)}${'00'.repeat(8)}`);
      for (const page of [0, 9, 65, 129]) write(client, page);
      const all = '0102000000000000' + '0200000000000000' + '0200000000000000' + '00'.repeat(8);
      assert.equal(await client.dirty(0n, 130n), all);
      expect0(await client.set('stop'));
      assert.equal(await client.dirty(0n, 130n), all);
      assert.equal(await client.dirty(4096n * 65n, 1n), `01${'00'.repeat(15)}`);
      assert.equal(await client.dirty(4096n * 65n + 5n, 1n), `01${'00'.repeat(15)}`);
      assert.equal(await client.dirty(4096n * 64n, 1n), '00'.repeat(16));
      assert.equal(await client.dirty(0n, 0n), '00'.repeat(8));
      // Where nothing is mapped nothing is dirty.
      assert.equal(await client.dirty(1n << 40n, 3n), '00'.repeat(16));
      assert.equal(await client.dirty((1n << 64n) - 4096n, 3n), '00'.repeat(16));
    });

    it(`${version}: rejects memory that is not there with EFAULT, too many pages with ENOMEM`, async () => {
      const client = await RfcClient.openNew(version);
      assert.equal((await client.dirtyAt(8n)).errno, 'EFAULT');
      const { caller } = client.client;
      const ask = (pages: bigint): Uint8Array => rfc.vfio_pci_get_dirty_bitmap.encode({ start_addr: 0n, page_nr: pages });
      // No room for the bitmap, or not for all of it.
      assert.equal((await client.dirtyAt(caller.allocate(ask(1n)))).errno, 'EFAULT');
      assert.equal((await client.dirtyAt(caller.allocate(Buffer.concat([ask(1n), new Uint8Array(8)])))).errno, 'EFAULT');
      assert.equal((await client.dirtyAt(caller.allocate(Buffer.concat([ask(1n), new Uint8Array(16)])))).errno, '0');
      for (const pages of [1n << 31n, (1n << 64n) - 1n]) {
        assert.equal((await client.dirtyAt(caller.allocate(Buffer.concat([ask(pages), new Uint8Array(16)])))).errno, 'ENOMEM');
      }
    });

    it(`${version}: a new open begins with nothing`, async () => {
      const client = await RfcClient.openNew(version);
      write(client, 0);
      await client.close();
      await client.open();
      assert.equal(await client.dirty(0n, 1n), '00'.repeat(16));
    });
  }

  it('a container answers VFIO_BASE+17 as DIRTY_PAGES until it holds a device of the later versions', async () => {
    const start = abi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 8, flags: abi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START });
    const track = Buffer.concat([start, u64(1n << 31n)]);
    assert.equal(rfc.VFIO_IOMMU_GET_DIRTY_BITMAP, abi.VFIO_IOMMU_DIRTY_PAGES);
    const first = await RfcClient.openNew('rfc');
    expect0(await first.client.ioctl(first.container, abi.VFIO_IOMMU_DIRTY_PAGES, track));
    const later = await RfcClient.openNew('rfc-v3');
    // The same bytes are now an address and a number of pages.
    assert.equal((await later.client.ioctl(later.container, abi.VFIO_IOMMU_DIRTY_PAGES, track)).errno, 'ENOMEM');
    await later.client.close(later.device);
    expect0(await later.client.ioctl(later.container, abi.VFIO_IOMMU_DIRTY_PAGES, track));
  });

  it('forgets with UNMAP_DMA what a container counts, and not what a device counts', async () => {
    for (const [version, left] of [['rfc', '01'], ['rfc-v2', '00'], ['rfc-v3', '00']] as const) {
      const client = await RfcClient.openNew(version);
      write(client, 0);
      const size = BigInt(client.memory.length);
      expect0(await client.client.ioctl(client.container, abi.VFIO_IOMMU_UNMAP_DMA,
        abi.vfio_iommu_type1_dma_unmap.encode({ argsz: 24, iova: 0n, size })));
      assert.equal(await client.dirty(0n, 1n), `${left}${'00'.repeat(15)}`, version);
    }
  });

  it('a mapping of 2^31 pages is EINVAL while it is open, and opening it then too, which leaves it no memory', async () => {
    const map = abi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags: 3, vaddr: 0n, iova: 1n << 50n, size: 1n << 43n });
    const client = await RfcClient.openNew('rfc-v3');
    assert.equal((await client.client.ioctl(client.container, abi.VFIO_IOMMU_MAP_DMA, map)).errno, 'EINVAL');
    await client.client.close(client.device);
    expect0(await client.client.ioctl(client.container, abi.VFIO_IOMMU_MAP_DMA, map));
    assert.equal((await client.client.ioctl(client.group, abi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID_A))).errno, 'EINVAL');
    assert.equal(client.dmaSpace, undefined);
  });

  it('tells what any device of the container has written', async () => {
    const client = await RfcClient.openNew('rfc-v2');
    const other = new FakeDevice();
    const registration = client.client.vfio.register({ name: UUID_B }, other);
    const group = expect0(await client.client.openGroup(registration)).ret;
    expect0(await client.client.ioctl(group, abi.VFIO_GROUP_SET_CONTAINER, int32(client.container)));
    expect0(await client.client.ioctl(group, abi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID_B)));
    other.dma?.write(4096n * 3n, MARK);
    assert.equal(await client.dirty(0n, 4n), `08${'00'.repeat(15)}`);
  });
});
