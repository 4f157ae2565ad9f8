/**
 * Migration of vfio_ap: what the stream holds, which destinations refuse it, and what is wrong with the first version of the
 * series: a test for each flaw that shows at the driver.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrationStateName, migrationStateNumber } from '../../src/vfio/migration-states.js';
import type { ApHostOptions } from '../../src/drivers/vfio-ap/ap-host.js';
import type { VfioApOptions } from '../../src/drivers/vfio-ap/index.js';
import { vfio_ap_config, vfio_ap_queue_info } from '../../src/abi/vfio-ap.js';
import { VFIO_MIGRATION_STOP_COPY } from '../../src/abi/vfio.js';
import { FREE, readAll, Rig, writeTo } from './vfio-ap-rig.js';
import type { Guest } from './vfio-ap-rig.js';

const state = (name: string): number => migrationStateNumber(name) ?? assert.fail(name);
const stateOf = (guest: Guest): string => migrationStateName(guest.device.migration.getState());
const SERIES = [['later', undefined], ['v1', 'v1']] as const;

/** A guest with these queues that is open. */
async function guestWith(lines: readonly string[], options: VfioApOptions = {}): Promise<Guest> {
  return (await new Rig({ ap: FREE, ...options }).create().do(...lines)).open();
}

const ONE = ['assign_adapter 5', 'assign_domain 4'];
const TWO = [...ONE, 'assign_domain 0xab'];

async function saved(lines: readonly string[], options: VfioApOptions = {}): Promise<Buffer> {
  const guest = await guestWith(lines, options);
  return readAll(await guest.stream(state('STOP_COPY')));
}

for (const [name, series] of SERIES) {
  test(`${name}: STOP_COPY only; the stream tells the queues of the guest and what they can do`, async () => {
    const guest = await guestWith(TWO, { series });
    assert.equal(guest.device.migration.flags, VFIO_MIGRATION_STOP_COPY);
    assert.equal(await guest.set(state('PRE_COPY')), 'EINVAL');
    assert.equal(await guest.set(state('RUNNING_P2P')), 'EINVAL');
    assert.equal(guest.device.migration.dataSize(), 40n);
    const stream = await readAll(await guest.stream(state('STOP_COPY')));
    assert.equal(stream.length, 40);
    assert.equal(vfio_ap_config.decode(stream).num_queues, 2);
    const queues = [8, 24].map((offset) => vfio_ap_queue_info.decode(stream, offset));
    const data = 0xf280_0000_0e00_0000n;
    assert.deepEqual(queues.map((queue) => [queue.apqn, queue.data]), [[0x0504, data], [0x05ab, data]]);
  });

  test(`${name}: a guest without queues migrates`, async () => {
    const stream = await saved([], { series });
    assert.equal(stream.length, 8);
    const target = await guestWith([], { series });
    assert.equal(await writeTo(await target.stream(state('RESUMING')), stream), 8);
    assert.equal(await target.set(state('RUNNING')), undefined);
  });

  test(`${name}: an equal destination takes it, also byte by byte`, async () => {
    const stream = await saved(TWO, { series });
    const target = await guestWith(TWO, { series });
    const file = await target.stream(state('RESUMING'));
    for (const byte of stream) assert.equal(await writeTo(file, Uint8Array.of(byte)), 1);
    assert.equal(await target.set(state('RUNNING')), undefined);
    assert.equal(stateOf(target), 'RUNNING');
    assert.equal(await writeTo(file, Uint8Array.of(0)), 'ENODEV');
  });
}

test('the device begins in RUNNING, as the uAPI asks; STOP on request', async () => {
  assert.equal(stateOf(await guestWith([])), 'RUNNING');
  assert.equal(stateOf(await guestWith([], { initialState: 'STOP' })), 'STOP');
});

interface Refusal {
  readonly what: string;
  readonly source: readonly string[];
  readonly target: readonly string[];
  readonly targetAp?: ApHostOptions;
  readonly sourceAp?: ApHostOptions;
  /** What the write of the whole stream answers. */
  readonly later: number | string;
  /** And leaving RESUMING then. */
  readonly leaving: string | undefined;
  readonly v1: number | string;
  /** Last line of the log, without the device. */
  readonly log?: RegExp;
}

const REFUSALS: readonly Refusal[] = [
  {
    what: 'more queues', source: ONE, target: TWO, later: 'ENODEV', leaving: 'EINVAL', v1: 'ENODEV',
    log: /queues on source \(1\) and target \(2\)/,
  },
  {
    what: 'less queues', source: TWO, target: ONE, later: 'ENOMEM', leaving: 'EINVAL', v1: 'EIO',
    log: /size \(40\) larger than target's \(24\)/,
  },
  {
    what: 'another queue', source: ONE, target: ['assign_adapter 6', 'assign_domain 4'], later: 24, leaving: 'ENODEV',
    v1: 'ENODEV', log: /queue 05\.0004 not assigned to guest matrix/,
  },
  {
    what: 'an older card', source: ONE, target: ONE, targetAp: { ...FREE, adapters: [{ id: 5, type: 'CEX7C' }] }, later: 24,
    leaving: 'EFAULT', v1: 'EFAULT', log: /Source and target queue \(05\.0004\) not compatible/,
  },
  {
    what: 'a card in another mode', source: ONE, target: ONE, targetAp: { ...FREE, adapters: [{ id: 5, type: 'CEX8P' }] },
    later: 24, leaving: 'EFAULT', v1: 'EFAULT',
  },
  {
    what: 'a card without a facility', source: ONE, target: ONE,
    targetAp: { ...FREE, adapters: [{ id: 5, functions: 0x7280_0000 }] },
    later: 24, leaving: 'EFAULT', v1: 'EFAULT',
  },
  {
    what: 'a newer card, which is fine', source: ONE, target: ONE, sourceAp: { ...FREE, adapters: [{ id: 5, type: 'CEX7C' }] },
    later: 24, leaving: undefined, v1: 24,
  },
];

for (const { what, source, target, sourceAp = FREE, targetAp = FREE, later, leaving, v1, log } of REFUSALS) {
  test(`a destination with ${what}: ${leaving ?? 'taken'}`, async () => {
    const stream = await saved(source, { ap: sourceAp });
    const guest = await guestWith(target, { ap: targetAp });
    assert.equal(await writeTo(await guest.stream(state('RESUMING')), stream), later);
    assert.equal(await guest.set(state('RUNNING')), leaving);
    assert.equal(stateOf(guest), leaving === undefined ? 'RUNNING' : 'RESUMING');
  });

  test(`v1: a destination with ${what}: ${v1}; leaving RESUMING works all the same`, async () => {
    const stream = await saved(source, { ap: sourceAp, series: 'v1' });
    const guest = await guestWith(target, { ap: targetAp, series: 'v1' });
    assert.equal(await writeTo(await guest.stream(state('RESUMING')), stream), v1);
    if (log !== undefined) assert.match(guest.rig.klog.at(-1) ?? '', log);
    assert.equal(await guest.set(state('RUNNING')), undefined);
    assert.equal(stateOf(guest), 'RUNNING');
  });
}

test('v1: less queues, found out from a short first write: E2BIG', async () => {
  const stream = await saved(TWO, { series: 'v1' });
  const guest = await guestWith(ONE, { series: 'v1' });
  assert.equal(await writeTo(await guest.stream(state('RESUMING')), stream.subarray(0, 8)), 'E2BIG');
});

test('v1: half a stream is not missed', async () => {
  const stream = await saved(TWO, { series: 'v1' });
  const guest = await guestWith(TWO, { series: 'v1' });
  assert.equal(await writeTo(await guest.stream(state('RESUMING')), stream.subarray(0, 20)), 20);
  assert.equal(await guest.set(state('RUNNING')), undefined);
});

test('later: half a stream is EINVAL when the device leaves RESUMING', async () => {
  const stream = await saved(TWO);
  const guest = await guestWith(TWO);
  assert.equal(await writeTo(await guest.stream(state('RESUMING')), stream.subarray(0, 20)), 20);
  assert.equal(await guest.set(state('RUNNING')), 'EINVAL');
});

/* What is wrong with the first version */

async function v1Guest(): Promise<Guest> {
  const guest = await guestWith(ONE, { series: 'v1' });
  await guest.set(state('RUNNING'));
  return guest.do('migratable 1');
}

test('v1: begins in STOP, at every open, whatever the client left; the uAPI says RUNNING', async () => {
  const guest = await guestWith(ONE, { series: 'v1' });
  assert.equal(stateOf(guest), 'STOP');
  await guest.set(state('RUNNING'));
  guest.close();
  guest.open();
  assert.equal(stateOf(guest), 'STOP');
});

test('v1: during a migration migratable can not be taken back: EBUSY; storing 1 again is fine; afterwards it can', async () => {
  const guest = await v1Guest();
  guest.device.migration.dataSize();
  assert.equal(await guest.write('migratable', '0'), 'EBUSY');
  assert.equal(await guest.write('migratable', '1'), '0');
  assert.equal(await guest.read('migratable'), '1\n');
  await guest.set(state('STOP_COPY'));
  assert.equal(await guest.write('migratable', '0'), 'EBUSY');
  await guest.set(state('STOP'));
  assert.equal(await guest.write('migratable', '0'), '0');
});

test('v1, flaw 1: cancelled before the switchover, no state is asked for; EBUSY stays until it is closed', async () => {
  const guest = await v1Guest();
  guest.device.migration.dataSize();
  // What a VMM does on cancel: it believes that the device is RUNNING, and a request for the state it is in does nothing.
  await guest.set(state('RUNNING'));
  for (let i = 0; i < 3; i++) assert.equal(await guest.write('migratable', '0'), 'EBUSY');
  guest.close();
  guest.open();
  assert.equal(await guest.write('migratable', '0'), '0');
});

test('v1, flaw 2: a failure after STOP_COPY goes straight to RUNNING, which is not STOP: EBUSY stays', async () => {
  const guest = await v1Guest();
  guest.device.migration.dataSize();
  await guest.set(state('STOP_COPY'));
  await guest.set(state('RUNNING'));
  assert.equal(stateOf(guest), 'RUNNING');
  assert.equal(await guest.write('migratable', '0'), 'EBUSY');
});

test('v1, flaw 3: asking for the size is a question, not a migration, but counts as one', async () => {
  const guest = await v1Guest();
  assert.equal(await guest.write('migratable', '0'), '0');
  await guest.do('migratable 1');
  assert.equal(guest.device.migration.dataSize(), 24n);
  assert.equal(await guest.write('migratable', '0'), 'EBUSY');
});

test('v1, flaw 4: a destination never asks for the size, so it can be switched off while it resumes', async () => {
  const stream = await saved(ONE, { series: 'v1' });
  const guest = await v1Guest();
  const file = await guest.stream(state('RESUMING'));
  await writeTo(file, stream.subarray(0, 8));
  assert.equal(await guest.write('migratable', '0'), '0');
  assert.equal(await writeTo(file, stream.subarray(8)), 16);
});

test('v1, flaw 5: until the size is asked for, taking it back succeeds, and the migration goes on regardless', async () => {
  const guest = await v1Guest();
  assert.equal(await guest.write('migratable', '0'), '0');
  guest.device.migration.dataSize();
  const file = await guest.stream(state('STOP_COPY'));
  assert.equal((await readAll(file)).length, 24);
});

test('the same with migration_block: track is not stuck by a question nor by a failure, and enforce refuses', async () => {
  for (const series of [undefined, 'v1'] as const) {
    const guest = await guestWith(ONE, { series });
    await guest.set(state('RUNNING'));
    guest.device.migration.dataSize();
    await guest.do('migration_block 1', 'migration_block 0');
    await guest.set(state('STOP_COPY'));
    assert.equal(await guest.write('migration_block', '1'), 'EBUSY');
    await guest.set(state('RUNNING'));
    await guest.do('migration_block 1');
    guest.device.controls.blocker.setPolicy('enforce');
    assert.equal(await guest.set(state('STOP_COPY')), 'EBUSY');
  }
});
