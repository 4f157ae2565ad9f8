/** Streams beyond mtty's own: generated state of any size, dirty rate, ENOMSG, and the order of hooks. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Errno } from '../../src/abi/errno.js';
import { GENERATED_STATE_MAX, generated_record, generatedBytes, isGenerated } from '../../src/vfio/generated-state.js';
import { migrationDebugfsGroup } from '../../src/vfio/debugfs.js';
import type { MigrationHooks } from '../../src/vfio/migration-hooks.js';
import { attempt, errnoOf, HEADER_SIZE, MigrationClient, STATE } from './migration-client.js';

const MIB = 1 << 20;
const sized = (size: number, dirtyRate = 0): MigrationHooks => ({ generatedSize: () => size, dirtyRate: () => dirtyRate });

/** Passes a stream from one client to another in pieces of `chunk`; returns its length. */
function pipe(from: MigrationClient, to: MigrationClient, chunk: number): number {
  let total = 0;
  for (let data = from.read(chunk); data.length > 0; data = from.read(chunk)) {
    for (let rest = data; rest.length > 0;) rest = rest.subarray(to.write(rest));
    total += data.length;
  }
  return total;
}

describe('generated device state', () => {
  for (const [size, chunk] of [[1, 7], [1000, 1], [5 * MIB + 3, MIB], [5 * MIB + 3, 65537]] as const) {
    it(`of ${size} bytes moves in pieces of ${chunk} and arrives with the driver's state`, () => {
      const source = new MigrationClient(2, { hooks: [sized(size)] });
      source.card.uarts[0]?.write(7, 0x77);
      source.reach('STOP_COPY');
      const target = new MigrationClient(2);
      target.reach('RESUMING');
      const total = pipe(source, target, chunk);
      assert.equal(total, 96 + size + 2 * generated_record.size);
      target.set(STATE.RUNNING);
      assert.deepEqual(Buffer.from(target.card.save()), Buffer.from(source.card.save()));
    });
  }

  it('of 4 GiB streams without being held in memory', () => {
    const source = new MigrationClient(1, { hooks: [sized(GENERATED_STATE_MAX)] });
    assert.equal(source.machine.dataSize(), BigInt(60 + GENERATED_STATE_MAX));
    source.reach('STOP_COPY');
    const before = process.memoryUsage().rss;
    let total = 0;
    for (let data = source.read(MIB); data.length > 0; data = source.read(MIB)) total += data.length;
    assert.equal(total, 60 + GENERATED_STATE_MAX + 2 * generated_record.size);
    assert.ok(process.memoryUsage().rss - before < 64 * MIB);
  });

  it('repeats with no usual block size', () => {
    for (const step of [1, 512, 4096, 65536, MIB]) assert.equal(isGenerated(step, generatedBytes(0, 4096)), false);
    assert.equal(isGenerated(12345, generatedBytes(12345, MIB)), true);
  });

  it('with a wrong byte is EFAULT, and the write can be repeated', () => {
    const source = new MigrationClient(1, { hooks: [sized(10000)] });
    source.reach('STOP_COPY');
    const stream = source.drain(MIB);
    const bad = Buffer.from(stream);
    bad[5000] = (bad[5000] ?? 0) ^ 1;
    const target = new MigrationClient();
    target.reach('RESUMING');
    assert.equal(errnoOf(() => target.write(bad)), 'EFAULT');
    assert.equal(errnoOf(() => target.set(STATE.STOP)), 'EINVAL');
    target.write(stream);
    target.set(STATE.STOP);
  });

  it('truncated at any place is EINVAL', () => {
    const source = new MigrationClient(1, { hooks: [sized(200)] });
    source.reach('STOP_COPY');
    const stream = source.drain();
    for (let length = 0; length < stream.length; length++) {
      const target = new MigrationClient();
      target.reach('RESUMING');
      target.write(stream.subarray(0, length));
      assert.equal(errnoOf(() => target.set(STATE.STOP)), 'EINVAL', `${length} bytes`);
    }
  });

  it('is not confused by a driver state that looks like a record', () => {
    const source = new MigrationClient(1);
    source.card.load(Buffer.concat([source.card.header(), Buffer.from('mdevsim1'), new Uint8Array(28)]));
    source.reach('STOP_COPY');
    const target = new MigrationClient();
    target.reach('RESUMING');
    pipe(source, target, 5);
    target.set(STATE.STOP);
    assert.deepEqual(Buffer.from(target.card.save()), Buffer.from(source.card.save()));
  });
});

describe('dirty rate during PRE_COPY', () => {
  it('offers the whole state once, then what changed, never more than there is', () => {
    let now = 0;
    const source = new MigrationClient(1, { hooks: [sized(1000, 500)], now: () => now });
    const target = new MigrationClient();
    target.reach('RESUMING');
    source.reach('PRE_COPY');
    assert.deepEqual(source.precopyInfo(), { initial_bytes: HEADER_SIZE, dirty_bytes: 1000 });
    assert.equal(pipe(source, target, 4096), HEADER_SIZE + generated_record.size + 1000);
    assert.deepEqual(source.precopyInfo(), { initial_bytes: 0, dirty_bytes: 0 });
    now = 1000;
    assert.deepEqual(source.precopyInfo(), { initial_bytes: 0, dirty_bytes: 500 });
    now = 1e6;
    assert.deepEqual(source.precopyInfo(), { initial_bytes: 0, dirty_bytes: 1000 });
    pipe(source, target, 300);
    now += 20;
    source.set(STATE.STOP_COPY);
    assert.equal(pipe(source, target, 4096), 2 * generated_record.size + 10 + 36);
    target.set(STATE.STOP);
  });
});

describe('reading in PRE_COPY when nothing is left', () => {
  it('is 0 bytes for mtty, ENOMSG where the driver follows the uAPI, and 0 at the end of STOP_COPY', () => {
    for (const [precopyEnd, expected] of [['empty', '0'], ['ENOMSG', 'ENOMSG']] as const) {
      const client = new MigrationClient(1, { precopyEnd });
      client.reach('PRE_COPY');
      client.read();
      assert.equal(attempt(() => client.read()).errno, expected);
      client.set(STATE.STOP_COPY);
      assert.equal(client.drain().length, 36);
    }
  });
});

describe('MigrationMachine.setFlags()', () => {
  it('rejects to lose the state that the device is in with EBUSY', () => {
    const client = new MigrationClient();
    client.reach('PRE_COPY');
    assert.equal(errnoOf(() => client.machine.setFlags(1)), 'EBUSY');
    client.reach('RUNNING');
    client.machine.setFlags(1);
    assert.equal(errnoOf(() => client.set(STATE.PRE_COPY)), 'EINVAL');
  });
});

describe('hooks', () => {
  it('see a walk in order, and a refused one changes nothing', () => {
    const seen: string[] = [];
    let refuse = false;
    const hook: MigrationHooks = {
      prepare: (walk) => void seen.push(`prepare ${walk.from}-${walk.to}`),
      admit: () => {
        if (refuse) throw new Errno('EBUSY');
        seen.push('admit');
      },
      beforeArc: (from, to) => void seen.push(`before ${from}-${to}`),
      afterArc: (from, to) => void seen.push(`after ${from}-${to}`),
      completed: (walk) => void seen.push(`completed ${walk.path.join(',')}`),
    };
    const client = new MigrationClient(1, { hooks: [hook] });
    client.set(STATE.STOP);
    assert.deepEqual(seen, ['prepare 2-1', 'admit', 'before 2-5', 'after 2-5', 'before 5-1', 'after 5-1', 'completed 5,1']);
    client.set(STATE.STOP);
    assert.equal(seen.length, 7, 'the same state again is no walk');
    refuse = true;
    assert.equal(errnoOf(() => client.set(STATE.RUNNING)), 'EBUSY');
    assert.equal(client.stateName, 'STOP');
  });
});

describe('migrationDebugfsGroup()', () => {
  it('shows state and features as recorded', async () => {
    const client = new MigrationClient();
    const { machine } = client;
    const read = async (name: string, group = migrationDebugfsGroup({ migration: machine })): Promise<unknown> =>
      group?.attributes.find((attribute) => attribute.name === name)?.show?.(group.owner, client.request);
    assert.equal(await read('state'), 'RUNNING\n');
    const logging = migrationDebugfsGroup({ migration: machine, dmaLogging: true });
    assert.equal(await read('features', logging), 'stop-copy\np2p\npre-copy\ndirty-tracking\n');
    assert.equal(migrationDebugfsGroup({ migration: undefined }), undefined);
  });
});
