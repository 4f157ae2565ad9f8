/** The info structs that drivers answer with, and their capability chains. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../src/abi/vfio.js';
import { capabilityChain } from '../../src/vfio/capability-chain.js';
import { answerDeviceInfo, answerIrqInfo, answerRegionInfo } from '../../src/vfio/device-ioctls.js';
import { FakeCaller } from '../fakes/caller.js';

const CAPABILITY = { id: 7, version: 2, data: new Uint8Array(12).fill(0xaa) };

/** Calls `answer` with an argument of `argsz` bytes in 64 bytes of 0xee; the bytes afterwards. */
function ask(argsz: number, fill: (argument: Uint8Array) => void, answer: (caller: FakeCaller, address: bigint) => number): Uint8Array {
  const caller = new FakeCaller();
  const argument = new Uint8Array(64).fill(0xee);
  fill(argument);
  new DataView(argument.buffer).setUint32(0, argsz, true);
  const address = caller.allocate(argument);
  assert.equal(answer(caller, address), 0);
  return caller.read(address, 64);
}

describe('capabilityChain()', () => {
  it('links the entries by their offset from the info struct, 8-byte aligned', () => {
    const chain = capabilityChain([CAPABILITY, { id: 8, version: 1, data: new Uint8Array(8) }], 24);
    assert.equal(chain.length, 24);
    assert.deepEqual(abi.vfio_info_cap_header.decode(chain, 0), { id: 7, version: 2, next: 40 });
    assert.deepEqual(abi.vfio_info_cap_header.decode(chain, 16), { id: 8, version: 1, next: 0 });
    assert.deepEqual([...chain.subarray(8, 16)], [0xaa, 0xaa, 0xaa, 0xaa, 0, 0, 0, 0]);
  });

  it('is empty without capabilities', () => {
    assert.equal(capabilityChain([], 24).length, 0);
  });
});

describe('answerDeviceInfo()', () => {
  const info = { flags: abi.VFIO_DEVICE_FLAGS_PCI, num_regions: 9, num_irqs: 5 };

  it('writes the 16 bytes that every version has', () => {
    const bytes = ask(24, () => undefined, (caller, at) => answerDeviceInfo(caller, at, info));
    assert.deepEqual([...new Uint32Array(bytes.slice(0, 20).buffer)], [24, 2, 9, 5, 0xeeeeeeee]);
  });

  it('says how much a chain needs that does not fit', () => {
    const bytes = ask(24, () => undefined, (caller, at) => answerDeviceInfo(caller, at, { ...info, capabilities: [CAPABILITY] }));
    assert.deepEqual(abi.vfio_device_info.decode(bytes), {
      argsz: 40, flags: abi.VFIO_DEVICE_FLAGS_PCI | abi.VFIO_DEVICE_FLAGS_CAPS, num_regions: 9, num_irqs: 5, cap_offset: 0, pad: 0xeeeeeeee,
    });
    assert.equal(bytes[24], 0xee);
  });

  it('writes a chain that fits', () => {
    const bytes = ask(64, () => undefined, (caller, at) => answerDeviceInfo(caller, at, { ...info, capabilities: [CAPABILITY] }));
    const { argsz, cap_offset } = abi.vfio_device_info.decode(bytes);
    assert.deepEqual([argsz, cap_offset], [64, 24]);
    assert.equal(abi.vfio_info_cap_header.decode(bytes, cap_offset).id, 7);
  });

  it('rejects an argsz without num_irqs with EINVAL', () => {
    assert.throws(() => ask(15, () => undefined, (caller, at) => answerDeviceInfo(caller, at, info)), { code: 'EINVAL' });
  });
});

describe('answerRegionInfo()', () => {
  const region = { flags: 3, size: 0x100n, offset: 7n << 40n };
  const index = (n: number) => (argument: Uint8Array): void => abi.vfio_region_info.patch(argument, { index: n });

  it('tells flags, size and offset, and the chain where there is room', () => {
    const bytes = ask(64, index(7), (caller, at) => answerRegionInfo(caller, at, () => ({ ...region, capabilities: [CAPABILITY] })));
    assert.deepEqual(abi.vfio_region_info.decode(bytes), {
      argsz: 64, flags: 3 | abi.VFIO_REGION_INFO_FLAG_CAPS, index: 7, cap_offset: 32, size: 0x100n, offset: 7n << 40n,
    });
    assert.equal(abi.vfio_info_cap_header.decode(bytes, 32).version, 2);
  });

  it('rejects an index without a region with EINVAL', () => {
    assert.throws(() => ask(32, index(9), (caller, at) => answerRegionInfo(caller, at, () => undefined)), { code: 'EINVAL' });
  });
});

describe('answerIrqInfo()', () => {
  it('tells flags and count, and rejects an index without interrupts with EINVAL', () => {
    const irqAt = (index: number) => index === 1 ? { flags: 9, count: 4 } : undefined;
    const index = (n: number) => (argument: Uint8Array): void => abi.vfio_irq_info.patch(argument, { index: n });
    const bytes = ask(16, index(1), (caller, at) => answerIrqInfo(caller, at, irqAt));
    assert.deepEqual(abi.vfio_irq_info.decode(bytes), { argsz: 16, flags: 9, index: 1, count: 4 });
    assert.throws(() => ask(16, index(2), (caller, at) => answerIrqInfo(caller, at, irqAt)), { code: 'EINVAL' });
  });
});
