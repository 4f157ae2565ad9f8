/** The answers of a real kernel's mtty to every transition and to good, short, corrupt and oversized streams, replayed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hex, loadGolden, number, text } from '../golden/load.js';
import type { GoldenRecord } from '../golden/load.js';
import { attempt, HEADER_SIZE, MigrationClient, STATE } from './migration-client.js';
import type { Outcome } from './migration-client.js';
import { migrationStateNumber } from '../../src/vfio/migration-states.js';

const TYPES = [{ sec: 'mig-mtty-1', ports: 1 }, { sec: 'mig-mtty-2', ports: 2 }] as const;

/** The recorded form of a read or write: its count, or -1 and the errno. */
function io({ errno, value }: Outcome<Uint8Array | number>): { count: number; errno: string } {
  if (value === undefined) return { count: -1, errno };
  return { count: typeof value === 'number' ? value : value.length, errno: '0' };
}

function replayFsm(client: MigrationClient, good: Uint8Array, record: GoldenRecord): void {
  const from = text(record, 'from');
  client.reach(from);
  const old = client.file;
  const variant = text(record, 'variant');
  if (variant === 'header written') client.write(good.subarray(0, HEADER_SIZE));
  if (variant === 'all written') client.write(good);
  if (variant === 'all written, bad magic') {
    const bad = Buffer.concat([Uint8Array.of((good[0] ?? 0) ^ 1), good.subarray(1)]);
    attempt(() => client.write(bad));
  }
  if (variant === 'all read') client.drain();
  const probe = (file = client.file, writing = from === 'RESUMING'): { count: number; errno: string } =>
    io(attempt(() => (writing ? client.write(good.subarray(0, 1), file) : client.read(600, file))));

  const { errno, value: file } = attempt(() => client.set(number(record, 'to')));
  const seen = {
    errno,
    data_fd: file === undefined ? '-1' : 'fd',
    state_after: client.stateName,
    ...(old === undefined ? {} : (({ count, errno: name }) => ({ old_fd_io: count, old_fd_errno: name }))(probe(old))),
    ...(file === undefined ? {} : (({ count, errno: name }) => ({ new_fd_io: count, new_fd_errno: name }))(
      probe(file, number(record, 'to') === STATE.RESUMING))),
  };
  const wanted = Object.fromEntries(Object.keys(seen).map((key) => [key, record[key]]));
  assert.deepEqual(seen, wanted, `${from} (${variant}) to ${text(record, 'to_name')}`);
}

interface Restored {
  readonly written: number;
  readonly write_errno: string;
  readonly errno: string;
}

/** RESUMING, `data` in one write or in chunks, then STOP. */
function restore(client: MigrationClient, data: Uint8Array, chunk = data.length): Restored {
  client.reach('RESUMING');
  let written = 0;
  let write_errno = '0';
  while (written < data.length) {
    const { errno, value } = attempt(() => client.write(data.subarray(written, written + chunk)));
    if (value === undefined) {
      write_errno = errno;
      break;
    }
    written += value;
  }
  const { errno } = attempt(() => client.set(STATE.STOP));
  return { written, write_errno, errno };
}

function checkRestore(client: MigrationClient, record: GoldenRecord, data: Uint8Array, chunk?: number): void {
  const { written, write_errno, errno } = restore(client, data, chunk);
  const seen = { written, write_errno, errno, state_after: client.stateName };
  assert.deepEqual(seen, Object.fromEntries(Object.keys(seen).map((key) => [key, record[key]])), JSON.stringify(record));
}

for (const { sec, ports } of TYPES) {
  describe(`${sec} as recorded`, () => {
    const client = new MigrationClient(ports);
    const [recorded] = loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'stream' });
    assert.ok(recorded !== undefined);
    const good = Buffer.from(hex(recorded, 'hex'));
    client.reach('RESUMING');
    client.write(good);
    client.set(STATE.RUNNING);

    it('loads the recorded stream and saves the same', () => assert.deepEqual(client.saveAll(), good));

    it('answers every transition', () => {
      const records = loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'fsm' });
      assert.equal(records.length, 108);
      for (const record of records) replayFsm(client, good, record);
    });

    it('rejects odd targets with EINVAL', () => {
      for (const record of loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'fsm-odd-target' })) {
        client.reach('RUNNING');
        assert.equal(attempt(() => client.set(number(record, 'to'))).errno, record.errno);
        assert.equal(client.stateName, record['state_after']);
      }
    });

    it('answers PRECOPY_INFO and reads of a PRE_COPY file through its whole life', () => {
      const [fresh, after, rest] = ['fresh', 'after 10 bytes', 'all read'].map((what) =>
        loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'PRECOPY_INFO', what })[0]);
      const check = (record: GoldenRecord | undefined): void => {
        assert.ok(record !== undefined);
        assert.deepEqual(client.precopyInfo(), { initial_bytes: record['initial_bytes'], dirty_bytes: record['dirty_bytes'] });
      };
      client.reach('PRE_COPY');
      check(fresh);
      const odd = ['argsz 0', 'argsz 23', 'argsz 32', 'flags 1'];
      for (const record of loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'PRECOPY_INFO', what: odd })) {
        assert.equal(attempt(() => client.precopyInfo(number(record, 'argsz'), number(record, 'flags'))).errno, record.errno);
      }
      client.read(10);
      check(after);
      client.read();
      check(rest);
      assert.equal(client.read().length, 0);
      client.set(STATE.PRE_COPY_P2P);
      client.set(STATE.PRE_COPY);
      assert.equal(client.set(STATE.STOP_COPY), undefined);
      assert.equal(attempt(() => client.precopyInfo()).errno, 'EINVAL');
      assert.deepEqual(client.drain(), good.subarray(HEADER_SIZE));
      client.set(STATE.STOP);
      assert.equal(attempt(() => client.read()).errno, 'ENODEV');
      assert.equal(attempt(() => client.precopyInfo()).errno, 'EINVAL');
    });

    it('loads streams in chunks and saves them again unchanged', () => {
      for (const record of loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'restore' })) {
        checkRestore(client, record, good, record['chunk'] === undefined ? undefined : number(record, 'chunk'));
      }
      assert.deepEqual(client.saveAll(), good);
    });

    it('refuses truncated streams, and takes the rest later', () => {
      for (const record of loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'truncated' })) {
        checkRestore(client, record, good.subarray(0, number(record, 'length')));
      }
      assert.equal(restore(client, good.subarray(0, 40)).errno, 'EINVAL');
      assert.equal(client.stateName, 'RESUMING');
      assert.equal(client.write(good.subarray(40)), good.length - 40);
      client.set(STATE.STOP);
      assert.equal(attempt(() => client.write(good)).errno, 'ENODEV');
    });

    it('refuses a corrupt header, byte by byte, but counts its bytes', () => {
      for (const record of loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'corrupt-header-one-write' })) {
        const bad = Buffer.from(good);
        const byte = number(record, 'byte');
        bad[byte] = (bad[byte] ?? 0) ^ 0x10;
        checkRestore(client, record, bad);
      }
    });

    it('refuses more than the device has', () => {
      for (const op of ['oversized-one-write', 'oversized-chunks-of-16'] as const) {
        for (const record of loadGolden('migration-fsm', { kernel: 'k2', sec, op })) {
          const data = Buffer.concat([good, new Uint8Array(number(record, 'extra'))]);
          checkRestore(client, record, data, op === 'oversized-one-write' ? undefined : 16);
        }
      }
    });

    it('goes to RUNNING at RESET from every state and disables the data file', () => {
      for (const record of loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'RESET' })) {
        const from = text(record, 'from');
        client.reach(from);
        client.machine.reset();
        assert.equal(client.stateName, record['state_after']);
        if (client.file === undefined) continue;
        const { errno } = attempt(() => (from === 'RESUMING' ? client.write(good.subarray(0, 1)) : client.read(16)));
        assert.equal(errno, record['old_fd_errno']);
      }
    });

    it('keeps its state over close and open', () => {
      for (const record of loadGolden('migration-fsm', { kernel: 'k2', sec, op: 'close-and-open' })) {
        const from = text(record, 'from');
        client.reach(from);
        client.machine.close();
        assert.equal(client.stateName, record['state_after_reopen']);
        assert.equal(client.machine.getState(), migrationStateNumber(from));
        if (from === 'PRE_COPY' || from === 'PRE_COPY_P2P') {
          client.set(STATE.STOP_COPY);
          assert.deepEqual(client.drain(), Buffer.from(client.card.save()), 'a new file with the whole stream');
        }
      }
    });
  });
}

describe('mtty, where the real driver crashes', () => {
  it('RESUMING to STOP after close and open is EINVAL, and a reset leads out', () => {
    const client = new MigrationClient();
    client.reach('RESUMING');
    client.machine.close();
    assert.equal(attempt(() => client.set(STATE.STOP)).errno, 'EINVAL');
    assert.equal(client.stateName, 'RESUMING');
    client.machine.reset();
    assert.equal(client.stateName, 'RUNNING');
  });
});
