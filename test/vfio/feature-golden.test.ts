/**
 * VFIO_DEVICE_FEATURE, DMA logging and every device ioctl number against the recordings of the real mtty: sections
 * `device-mtty-1` and `device-mtty-2`, by the group API, in the order of the real run.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ioc } from '../../src/abi/ioctl.js';
import * as abi from '../../src/abi/vfio.js';
import { MttyDevice } from '../../src/drivers/mtty/device.js';
import type { KernelVersion } from '../../src/abi/kernel-profile.js';
import { loadGolden, number, text } from '../golden/load.js';
import type { GoldenRecord } from '../golden/load.js';
import { hex, UUID_A, VfioClient } from './vfio-client.js';
import type { IoctlResult } from './vfio-client.js';

const FLAGS: Readonly<Record<string, number>> = {
  PROBE: abi.VFIO_DEVICE_FEATURE_PROBE, GET: abi.VFIO_DEVICE_FEATURE_GET, SET: abi.VFIO_DEVICE_FEATURE_SET, bit19: 1 << 19, 0: 0,
};
const flagsOf = (names: string): number => names.split('|').reduce((flags, name) => flags | (FLAGS[name] ?? 0), 0);

async function bench(ports: 1 | 2, kernel: KernelVersion): Promise<{ client: VfioClient; device: number }> {
  const client = new VfioClient({ kernel });
  const { device } = await client.openDevice(client.vfio.register({ name: UUID_A }, new MttyDevice(ports, {})));
  return { client, device };
}

function feature(client: VfioClient, device: number, argsz: number, flags: number, payload: Uint8Array): Promise<IoctlResult> {
  return client.ioctl(device, abi.VFIO_DEVICE_FEATURE, Buffer.concat([abi.vfio_device_feature.encode({ argsz, flags }), payload]));
}

const answer = ({ ret, errno }: { ret?: number | undefined; errno?: string | undefined }): object => ({ ret, errno });

/** START's ranges, by the record's name. */
const RANGES: Readonly<Record<string, readonly bigint[]>> = {
  overlapping: [0x10000n, 0x10000n, 0x18000n, 0x10000n], misaligned: [0x10001n, 0x10000n], 'length 0': [0x10000n, 0n],
  wrap: [0xffff_ffff_ffff_f000n, 0x2000n],
};
const USUAL = [0x10000n, 0x10000n, 0x40000n, 0x10000n, 0x48000n, 0x1000n, 0n, 0n];

async function logging(client: VfioClient, device: number, record: GoldenRecord): Promise<void> {
  const what = text(record, 'what');
  if (record.op === 'DMA_LOGGING_START') {
    const ranges = new BigUint64Array(RANGES[what] ?? USUAL);
    const address = what === 'bad pointer' ? 8n : client.caller.allocate(new Uint8Array(ranges.buffer));
    const control = abi.vfio_device_feature_dma_logging_control.encode({
      page_size: BigInt(number(record, 'page_size')), num_ranges: number(record, 'ranges'), ranges: address,
    });
    const result = await feature(client, device, 8 + control.length, flagsOf('SET') | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START, control);
    const { page_size } = abi.vfio_device_feature_dma_logging_control.decode(result.bytes, 8);
    assert.deepEqual({ ...answer(result), page_size_out: Number(page_size) }, { ...answer(record), page_size_out: record['page_size_out'] }, what);
    // The recording program stops after the ones that are wrong in themselves.
    if (RANGES[what] !== undefined) await stop(client, device);
  } else if (record.op === 'DMA_LOGGING_REPORT') {
    const bitmap = client.caller.allocate(new Uint8Array(32).fill(0xa5));
    const report = abi.vfio_device_feature_dma_logging_report.encode({
      iova: BigInt(text(record, 'iova')), length: BigInt(text(record, 'length')), page_size: BigInt(text(record, 'page_size')), bitmap,
    });
    const result = await feature(client, device, 8 + report.length, flagsOf('GET') | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, report);
    const bits = hex(client.caller.read(bitmap, 32));
    assert.deepEqual({ ...answer(result), bits }, { ...answer(record), bits: record['bitmap(prefilled a5)'] }, what);
  } else {
    assert.deepEqual(answer(await stop(client, device)), answer(record), what);
  }
}

const stop = (client: VfioClient, device: number): Promise<IoctlResult> =>
  feature(client, device, 8, flagsOf('SET') | abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, new Uint8Array(0));

/** The recordings with iommufd: without it REPORT is EOPNOTSUPP, and BIND_IOMMUFD is no ioctl. */
const RUNS = [['device-mtty-1', 1, 'k2', '6.12'], ['device-mtty-2', 2, 'k2', '6.12'], ['device-mtty-1', 1, 'k72', '7.2']] as const;

for (const [sec, ports, golden, kernel] of RUNS) {
  const records = (op: string | readonly string[]): readonly GoldenRecord[] => loadGolden('vfio-conversation', { kernel: golden, sec, op });

  describe(`${sec}, as ${golden} did`, () => {
    it('answers every feature with every operation and size', async () => {
      const { client, device } = await bench(ports, kernel);
      for (const record of records('DEVICE_FEATURE')) {
        const flags = flagsOf(text(record, 'flags')) | number(record, 'feature');
        const result = await feature(client, device, number(record, 'argsz'), flags, new Uint8Array(32));
        assert.deepEqual({ ...answer(result), data: hex(result.bytes.subarray(8)) }, { ...answer(record), data: record['data_out'] },
          JSON.stringify(record));
        if (record['feature'] === abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START && result.ret === 0) await stop(client, device);
        if (record['feature'] === abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE) await client.ioctl(device, abi.VFIO_DEVICE_RESET);
      }
      assert.equal((await client.ioctl(device, abi.VFIO_DEVICE_FEATURE, 0n)).errno, 'EFAULT');
    });

    it('checks the arguments of DMA logging', async () => {
      const { client, device } = await bench(ports, kernel);
      for (const record of records(['DMA_LOGGING_START', 'DMA_LOGGING_STOP', 'DMA_LOGGING_REPORT'])) await logging(client, device, record);
    });

    it('answers every ioctl number with an empty argument', async () => {
      const { client, device } = await bench(ports, kernel);
      for (const record of records('device-ioctl-number')) {
        const result = await client.ioctl(device, ioc(0, abi.VFIO_TYPE, number(record, 'nr'), 0), new Uint8Array(256));
        assert.deepEqual(answer(result), answer(record), JSON.stringify(record));
      }
    });
  });
}
