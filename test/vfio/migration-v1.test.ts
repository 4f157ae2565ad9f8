/** The v1 migration region: every transition, legal or not; the protocol of its data section; policies and faults. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../src/abi/vfio.js';
import { parseMigrationFeatures } from '../../src/vfio/migration-features.js';
import { PAGE, V1Client } from './vgpu-client.js';

const STOP = abi.VFIO_DEVICE_STATE_V1_STOP;
const RUNNING = abi.VFIO_DEVICE_STATE_V1_RUNNING;
const SAVING = abi.VFIO_DEVICE_STATE_V1_SAVING;
const PRE_COPY = SAVING | RUNNING;
const RESUMING = abi.VFIO_DEVICE_STATE_V1_RESUMING;
const ERROR = SAVING | RESUMING;
const DATA_SECTION = 64 << 10;

/** How to get there from RUNNING, and where one may go on to, itself left out. */
const STATES: readonly { readonly state: number; readonly way: readonly number[]; readonly next: readonly number[] }[] = [
  { state: STOP, way: [STOP], next: [RUNNING, SAVING, RESUMING] },
  { state: RUNNING, way: [], next: [STOP, SAVING, PRE_COPY, RESUMING] },
  { state: SAVING, way: [SAVING], next: [STOP, RUNNING] },
  { state: PRE_COPY, way: [PRE_COPY], next: [SAVING, RUNNING] },
  { state: RESUMING, way: [RESUMING], next: [RUNNING] },
];
/** All combinations of the three bits, and bits that are reserved. */
const ALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x8000_0001];

async function at(way: readonly number[]): Promise<V1Client> {
  const client = await new V1Client().open();
  for (const state of way) await client.go(state);
  return client;
}

/** The state of a device with registers, and something generated if asked for. */
async function saved(prepare: (client: V1Client) => Promise<void> = async () => undefined): Promise<Buffer> {
  const client = await new V1Client().open();
  await client.writeRegister(0x1000, 0xcafe);
  await prepare(client);
  await client.go(SAVING);
  return client.drain();
}

describe('device_state', () => {
  for (const { state, way, next } of STATES) {
    for (const to of ALL) {
      const legal = next.includes(to) || to === state;
      it(`${state} -> ${to} ${legal ? 'is allowed' : 'is EINVAL and changes nothing'}`, async () => {
        const client = await at(way);
        if (state === RESUMING && legal) assert.equal(await client.fill(await saved()), '0');
        assert.equal(await client.set('device_state', to), legal ? '0' : 'EINVAL');
        assert.equal(await client.get('device_state'), legal ? to : state);
      });
    }
  }

  it('reads as an error after a transition that ended in one, which only a reset leaves', async () => {
    const client = await at([]);
    client.gpu.controls.faults.fails = new Map([[abi.VFIO_DEVICE_STATE_STOP_COPY, { code: 'EIO', count: 1, entersError: true }]]);
    assert.equal(await client.set('device_state', SAVING), 'EIO');
    assert.equal(await client.get('device_state'), ERROR);
    for (const to of ALL) assert.equal(await client.set('device_state', to), 'EINVAL');
    client.gpu.reset();
    assert.equal(await client.get('device_state'), RUNNING);
  });

  it('stays where it was when a transition fails', async () => {
    const client = await at([]);
    client.gpu.controls.faults.fails = new Map([[abi.VFIO_DEVICE_STATE_PRE_COPY, { code: 'EIO', count: 1, entersError: false }]]);
    assert.equal(await client.set('device_state', PRE_COPY), 'EIO');
    assert.equal(await client.get('device_state'), RUNNING);
    await client.go(PRE_COPY);
  });

  /** From, to, the machine's state that can't be entered, what it reads then. */
  const failures = [
    [RUNNING, SAVING, 'STOP_COPY', RUNNING], [RUNNING, RESUMING, 'RESUMING', RUNNING], [RUNNING, STOP, 'STOP', RUNNING],
    [PRE_COPY, SAVING, 'STOP_COPY', PRE_COPY], [SAVING, RUNNING, 'RUNNING', SAVING], [SAVING, RUNNING, 'RUNNING_P2P', SAVING],
    [RESUMING, RUNNING, 'STOP', RESUMING], [RESUMING, RUNNING, 'RUNNING', ERROR], [RESUMING, RUNNING, 'RUNNING_P2P', ERROR],
  ] as const;
  for (const [from, to, at, reads] of failures) {
    it(`${from} -> ${to} that fails at ${at} leaves ${reads === from ? 'everything as it was' : 'ERROR'}`, async () => {
      const stream = await saved();
      const client = await new V1Client().open();
      await client.writeRegister(0x1000, 0xcafe);
      if (from !== RUNNING) await client.go(from);
      if (from === RESUMING) assert.equal(await client.fill(stream), '0');
      const before = client.state;
      client.gpu.controls.faults.fails = new Map([[abi[`VFIO_DEVICE_STATE_${at}`], { code: 'EIO', count: 1, entersError: false }]]);
      assert.equal(await client.set('device_state', to), 'EIO');
      assert.equal(await client.get('device_state'), reads);
      if (reads === ERROR) return;
      assert.equal(client.state, before);
      if (from === SAVING) assert.deepEqual(await client.drain(), stream, 'all of it, anew');
      assert.equal(await client.set('device_state', to), '0');
      if (to === SAVING) assert.deepEqual(await client.drain(), stream);
    });
  }

  it('is an error where the way back fails too', async () => {
    const client = await at([]);
    const fault = { code: 'EIO', count: 1, entersError: false } as const;
    client.gpu.controls.faults.fails = new Map([[abi.VFIO_DEVICE_STATE_STOP, fault], [abi.VFIO_DEVICE_STATE_RUNNING, fault]]);
    assert.equal(await client.set('device_state', STOP), 'EIO');
    assert.deepEqual([await client.get('device_state'), client.state], [ERROR, 'ERROR']);
  });

  it('waits for a transition that is delayed', async () => {
    const client = await at([]);
    client.gpu.controls.faults.delays = new Map([[abi.VFIO_DEVICE_STATE_STOP, 5]]);
    await client.go(STOP);
    assert.equal(client.state, 'STOP');
  });

  it('has pre-copy even where the device has not got it, with nothing to copy', async () => {
    const client = await new V1Client({ migrationFlags: parseMigrationFeatures('stop-copy') }).open();
    await client.go(PRE_COPY);
    assert.equal(client.state, 'RUNNING');
    assert.equal(await client.get('pending_bytes'), 0);
    await client.go(RUNNING);
    await client.go(PRE_COPY);
    await client.go(SAVING);
    assert.equal(client.state, 'STOP_COPY');
    assert.ok((await client.drain()).length > 0);
    await client.go(STOP);
  });

  it('stays in such a pre-copy when the step after it fails; a blocked device is EBUSY for it', async () => {
    const client = await new V1Client({ migrationFlags: parseMigrationFeatures('stop-copy p2p'), blocker: 'enforce' }).open();
    await client.go(PRE_COPY);
    client.gpu.controls.faults.fails = new Map([[abi.VFIO_DEVICE_STATE_STOP_COPY, { code: 'EIO', count: 1, entersError: false }]]);
    assert.equal(await client.set('device_state', SAVING), 'EIO');
    assert.equal(await client.get('device_state'), PRE_COPY);
    client.gpu.controls.blocker.set(true);
    await client.go(PRE_COPY);
    await client.go(RUNNING);
    assert.equal(await client.set('device_state', PRE_COPY), 'EBUSY');
    assert.equal(await client.get('device_state'), RUNNING);
  });
});

describe('the region', () => {
  it('is found by its type, behind those of every PCI device', async () => {
    const client = await at([]);
    const flags = abi.VFIO_REGION_INFO_FLAG_READ | abi.VFIO_REGION_INFO_FLAG_WRITE | abi.VFIO_REGION_INFO_FLAG_CAPS;
    const type = abi.VFIO_REGION_TYPE_MIGRATION_DEPRECATED;
    const subtype = abi.VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED;
    assert.deepEqual(await client.regionInfo(client.index), { size: PAGE + DATA_SECTION, flags, type, subtype });
    assert.equal(await client.regionInfo(client.index + 1), 'EINVAL');
  });

  it('comes instead of the features of v2', async () => {
    const client = await at([]);
    const features = [
      abi.VFIO_DEVICE_FEATURE_MIGRATION, abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, abi.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
      abi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
    ];
    for (const feature of features) {
      const asked = abi.vfio_device_feature.encode({ argsz: 8, flags: abi.VFIO_DEVICE_FEATURE_PROBE | feature });
      assert.equal((await client.client.ioctl(client.device, abi.VFIO_DEVICE_FEATURE, asked)).errno, 'ENOTTY', String(feature));
    }
  });

  it('takes accesses to whole fields only', async () => {
    const client = await at([SAVING]);
    const { index } = client;
    const wrong = [[0, 8], [0, 1], [2, 2], [4, 8], [8, 4], [12, 4], [16, 4], [28, 4], [32, 4], [100, 8], [PAGE - 4, 4]] as const;
    for (const [offset, length] of wrong) {
      assert.equal(await client.tryRead(index, offset, length), 'EINVAL', `${length} bytes at ${offset}`);
      assert.equal(await client.tryWrite(index, offset, new Uint8Array(length)), 'EINVAL', `${length} bytes at ${offset}`);
    }
    assert.equal(await client.tryRead(index, PAGE + DATA_SECTION - 4, 8), 'EINVAL', 'past the end');
  });

  it('has read-only fields, and a reserved one that is zero', async () => {
    const client = await at([]);
    assert.equal(await client.set('pending_bytes', 1), 'EINVAL');
    assert.equal(await client.set('data_offset', 1), 'EINVAL');
    assert.equal(await client.set('reserved', 5), '0');
    assert.equal(await client.get('reserved'), 0);
  });

  it('has nothing to give while the device runs, and takes nothing', async () => {
    const client = await at([]);
    assert.deepEqual([await client.get('pending_bytes'), await client.get('data_size')], [0, 0]);
    assert.equal(await client.get('data_offset'), PAGE);
    assert.equal(await client.tryRead(client.index, PAGE, 8), 'EINVAL');
    assert.equal(await client.tryWrite(client.index, PAGE, new Uint8Array(8)), 'EINVAL');
    assert.equal(await client.set('data_size', 0), 'EINVAL');
  });
});

describe('saving', () => {
  it('gives pieces: the same until pending_bytes is read, the next one after', async () => {
    const client = await at([]);
    for (let n = 0; n < 40; n++) await client.writeRegister(n * PAGE, n + 1);
    await client.go(SAVING);
    const total = await client.get('pending_bytes');
    assert.ok(total > 2 * DATA_SECTION);
    assert.equal(await client.get('pending_bytes'), total, 'asking again changes nothing');
    assert.deepEqual([await client.get('data_offset'), await client.get('data_size')], [PAGE, DATA_SECTION]);
    const first = await client.read(client.index, PAGE, DATA_SECTION);
    assert.equal(await client.get('data_offset'), PAGE);
    assert.deepEqual(await client.read(client.index, PAGE, DATA_SECTION), first);
    assert.equal(await client.get('pending_bytes'), total - DATA_SECTION);
    assert.equal(await client.tryRead(client.index, PAGE, 8), 'EINVAL', 'the piece is gone');
    const rest = await client.drain(8);
    assert.equal(first.length + rest.length, total);
    await client.go(STOP);
    assert.equal(await client.get('pending_bytes'), 0);
  });

  it('goes on in stop-and-copy with the stream that pre-copy began', async () => {
    const expected = await saved();
    const client = await at([]);
    await client.writeRegister(0x1000, 0xcafe);
    await client.go(PRE_COPY);
    const before = await client.drain();
    assert.equal(before.length, 16);
    assert.deepEqual([await client.get('pending_bytes'), await client.get('data_size')], [0, 0]);
    await client.go(SAVING);
    assert.deepEqual(Buffer.concat([before, await client.drain()]), expected);
  });

  it('gives a piece again that was not read before the next state, and none that was', async () => {
    const expected = await saved();
    const begin = async (): Promise<V1Client> => {
      const client = await at([]);
      await client.writeRegister(0x1000, 0xcafe);
      await client.go(PRE_COPY);
      assert.equal(await client.get('pending_bytes'), 16);
      await client.get('data_offset');
      assert.equal(await client.get('data_size'), 16);
      return client;
    };
    for (const way of [[SAVING], [PRE_COPY, SAVING], [SAVING, SAVING]]) {
      const unread = await begin();
      await unread.read(unread.index, PAGE, 8);
      for (const state of way) {
        await unread.go(state);
        await unread.get('pending_bytes');
        assert.ok(await unread.get('pending_bytes') >= 16, 'asking again changes nothing');
      }
      assert.deepEqual(await unread.drain(), expected, String(way));
      const half = await begin();
      const piece = await half.read(half.index, PAGE, 16);
      for (const state of way) await half.go(state);
      assert.deepEqual(Buffer.concat([piece, await half.drain()]), expected, String(way));
    }
  });

  it('gives generated state in pre-copy as it changes', async () => {
    const client = await at([]);
    client.gpu.controls.faults.stateSize = 1 << 20;
    client.gpu.controls.faults.dirty = 1;
    await client.go(PRE_COPY);
    assert.ok((await client.drain()).length > 1 << 20);
    await client.go(SAVING);
    const left = (await client.drain()).length;
    assert.ok(left > 0 && left < 1 << 20, `${left} bytes`);
  });

  it('ends with the device closed, and begins anew at the next open', async () => {
    const client = await at([SAVING]);
    await client.close();
    await client.open();
    assert.equal(await client.get('device_state'), SAVING);
    assert.equal(await client.get('pending_bytes'), 0);
    await client.go(RUNNING);
    await client.go(SAVING);
    assert.ok((await client.drain()).length > 0);
  });

  it('tells the errno of a stream that fails, and the end of one that is cut', async () => {
    const client = await at([]);
    client.gpu.controls.faults.streamFail = { byte: 20, code: 'EIO' };
    await client.go(SAVING);
    assert.equal(await client.get('data_offset'), PAGE);
    assert.equal(await client.get('data_size'), 20);
    assert.notEqual(await client.get('pending_bytes'), 0);
    assert.equal(await client.tryRead(client.index, 16, 8), 'EIO');
    await client.go(RUNNING);
    client.gpu.controls.faults.streamFail = undefined;
    client.gpu.controls.faults.streamCut = 20;
    await client.go(SAVING);
    assert.equal((await client.drain()).length, 20);
    assert.equal(await client.get('pending_bytes'), 0);
  });
});

describe('resuming', () => {
  it('gives a device the state of another, whatever the size of pieces and accesses', async () => {
    const stream = await saved();
    for (const [chunk, access] of [[DATA_SECTION, DATA_SECTION], [4096, 8], [1000, 10], [7, 1]] as const) {
      const client = await at([RESUMING]);
      assert.equal(await client.fill(stream, chunk, access), '0', `${chunk} ${access}`);
      await client.go(RUNNING);
      assert.equal(await client.readRegister(0x1000), 0xcafe);
    }
  });

  it('takes a stream with generated state', async () => {
    const stream = await saved(async ({ gpu }) => void (gpu.controls.faults.stateSize = 3 << 20));
    const client = await at([RESUMING]);
    assert.equal(await client.fill(stream), '0');
    await client.go(RUNNING);
    assert.equal(await client.readRegister(0x1000), 0xcafe);
  });

  it('stays in RESUMING while bytes are missing, and goes on with the rest', async () => {
    const stream = await saved();
    const client = await at([RESUMING]);
    assert.equal(await client.fill(stream.subarray(0, 100)), '0');
    assert.equal(await client.set('device_state', RUNNING), 'EINVAL');
    assert.equal(await client.get('device_state'), RESUMING);
    assert.equal(await client.fill(stream.subarray(100)), '0');
    await client.go(RUNNING);
  });

  it('refuses the state of another type, garbage, and more than was written', async () => {
    const stream = await saved();
    const other = await new V1Client({}, 16, 'i915-GVTg_V5_8').open();
    await other.go(RESUMING);
    assert.equal(await other.fill(stream), 'EINVAL');
    assert.equal(await other.set('device_state', RUNNING), 'EINVAL');
    const client = await at([RESUMING]);
    assert.equal(await client.fill(new Uint8Array(64)), 'EINVAL');
    assert.equal(await client.set('data_size', 8), 'EINVAL', 'nothing was written');
    await client.tryWrite(client.index, PAGE, new Uint8Array(8));
    assert.equal(await client.set('data_size', DATA_SECTION + 1), 'EINVAL');
  });
});

describe('policies', () => {
  it('track, enforce: the states count; observe: the question for pending_bytes does', async () => {
    const running = async (policy: 'track' | 'observe' | 'enforce' | 'notify', ...way: readonly number[]): Promise<boolean> => {
      const client = await new V1Client({ blocker: policy }).open();
      for (const state of way) await client.go(state);
      return client.gpu.controls.blocker.migrationRunning;
    };
    for (const policy of ['track', 'enforce'] as const) {
      assert.equal(await running(policy), false);
      for (const way of [[PRE_COPY], [SAVING], [PRE_COPY, SAVING], [RESUMING]]) assert.equal(await running(policy, ...way), true);
      for (const way of [[STOP], [SAVING, STOP], [PRE_COPY, RUNNING]]) assert.equal(await running(policy, ...way), false);
    }
    assert.equal(await running('observe', PRE_COPY), false);
    const client = await new V1Client({ blocker: 'observe' }).open();
    await client.get('pending_bytes');
    assert.equal(client.gpu.controls.blocker.migrationRunning, true, 'even of a device that runs');
    for (const state of [PRE_COPY, RUNNING]) await client.go(state);
    assert.equal(client.gpu.controls.blocker.migrationRunning, true, 'a cancelled migration leaves it set');
    for (const state of [SAVING, STOP]) await client.go(state);
    assert.equal(client.gpu.controls.blocker.migrationRunning, false);
  });

  it('enforce: a blocked device is EBUSY for saving, in pre-copy or without', async () => {
    const client = await new V1Client({ blocker: 'enforce' }).open();
    client.gpu.controls.blocker.set(true);
    for (const state of [PRE_COPY, SAVING]) {
      assert.equal(await client.set('device_state', state), 'EBUSY');
      assert.equal(await client.get('device_state'), RUNNING);
    }
  });
});
