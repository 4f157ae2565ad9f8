/** A client of a vGPU with the v1 region that does anything, in any order: each gets an errno or an answer, the device works on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR2_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX } from '../../src/abi/vfio.js';
import { LAB_REGISTERS } from '../../src/drivers/gvt/layout.js';
import { mayFollow } from '../../src/vfio/migration-v1-states.js';
import { numbers } from '../fakes/numbers.js';
import { u32, u64, V1Client } from './vgpu-client.js';

const OPERATIONS = 1500;
const SEEDS = [1, 2, 3, 4, 5];
const INTERESTING = [0, 1, 2, 3, 4, 6, 7, 8, 24, 32, 4095, 4096, 4100, 65_536, 0x7fff_ffff, 0xffff_ffff];

for (const seed of SEEDS) {
  test(`seed ${seed}`, async () => {
    const random = numbers(seed);
    const pick = <T>(list: readonly [T, ...T[]] | readonly T[]): T => list[random(list.length)] as T;
    const client = await new V1Client().open();
    const regions = [
      client.index, client.index, client.index, VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR2_REGION_INDEX,
      VFIO_PCI_CONFIG_REGION_INDEX, 8, 10,
    ];
    const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => random(256));
    const operations: readonly (() => Promise<unknown>)[] = [
      () => client.set('device_state', pick(INTERESTING)),
      () => client.set('device_state', pick([0, 1, 2, 3, 4])),
      () => client.set('data_size', pick(INTERESTING)),
      () => client.get('pending_bytes'),
      () => client.tryRead(client.index, 16, 8),
      () => client.tryRead(client.index, 24, 8),
      () => client.tryRead(client.index, 4096 + random(1 << 16), random(64)),
      () => client.tryWrite(client.index, 4096 + random(1 << 16), bytes(random(64))),
      () => client.tryRead(pick(regions), pick(INTERESTING), random(64)),
      () => client.tryWrite(pick(regions), pick(INTERESTING), bytes(random(64))),
      () => client.tryWrite(VFIO_PCI_BAR0_REGION_INDEX, LAB_REGISTERS + random(48),
        pick([u32(pick(INTERESTING)), u64(pick(INTERESTING)), bytes(3)])),
    ];
    for (let n = 0; n < OPERATIONS; n++) {
      const before = await client.get('device_state');
      await pick(operations)();
      const after = await client.get('device_state');
      assert.ok(after === before || mayFollow(before, after), `${before} -> ${after}`);
    }
    client.gpu.reset();
    assert.equal(await client.get('device_state'), 1);
    await client.writeRegister(0x1000, seed);
    for (const state of [3, 2]) await client.go(state);
    const target = await new V1Client().open();
    await target.go(4);
    assert.equal(await target.fill(await client.drain()), '0');
    await target.go(1);
    assert.equal(await target.readRegister(0x1000), seed);
    for (const one of [client, target]) await one.close();
  });
}
