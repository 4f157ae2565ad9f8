/** Every register and config space access that the kernel's mtty was recorded answering, replayed in order on one card. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { ConfigSpace } from '../../src/drivers/mtty/config-space.js';
import type { RegionTargets } from '../../src/drivers/mtty/regions.js';
import { readRegions, writeRegions } from '../../src/drivers/mtty/regions.js';
import { REGION_STRIDE } from '../../src/vfio/pci-regions.js';
import { Uart } from '../../src/drivers/mtty/uart.js';
import { hex, loadGolden, number } from '../golden/load.js';
import type { GoldenRecord } from '../golden/load.js';

function card(ports: 1 | 2): RegionTargets {
  const sink = { triggerInterrupt: () => undefined };
  return { config: new ConfigSpace(ports), ports: [new Uart(sink), new Uart(sink)] };
}

/** What the access gave: the bytes read, the count written, or the errno. */
function answer(targets: RegionTargets, record: GoldenRecord): { ret: number; errno: string; out?: string } {
  const position = number(record, 'index') * REGION_STRIDE + number(record, 'off');
  try {
    if (record.op === 'pwrite') return { ret: writeRegions(targets, position, hex(record, 'in')), errno: '0' };
    const data = readRegions(targets, position, number(record, 'n'));
    return { ret: data.length, errno: '0', ...(data.length > 0 ? { out: Buffer.from(data).toString('hex') } : {}) };
  } catch (error) {
    if (!isErrno(error)) throw error;
    return { ret: -1, errno: error.code };
  }
}

for (const [kernel, sec, ports] of [
  ['stock', 'device-mtty-1', 1], ['stock', 'device-mtty-2', 2], ['k2', 'device-mtty-1-cdev', 1], ['k72', 'device-mtty-2', 2],
] as const) {
  test(`register accesses answer as ${kernel} ${sec} did`, () => {
    const targets = card(ports);
    let compared = 0;
    for (const record of loadGolden('vfio-conversation', { kernel, sec })) {
      if (record.op === 'read (no offset): position 0 is BAR0') readRegions(targets, 0, 2);
      if (record.op === 'read-after-lseek') readRegions(targets, 2, 4);
      if (record.op !== 'pread' && record.op !== 'pwrite') continue;
      const expected = Object.fromEntries(['ret', 'errno', 'out'].map((key) => [key, record[key]]));
      const got = answer(targets, record);
      if (record.unstable?.includes('out') === true) continue;
      compared++;
      assert.deepEqual({ out: undefined, ...got }, expected, JSON.stringify(record));
    }
    assert.ok(compared > 600, `only ${compared} records`);
  });
}
