/** RAM through records: what is saved is what is loaded, and a record that does not fit is refused. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { Channel } from '../../src/client/migration/channel.js';
import { loadRam } from '../../src/client/migration/ram-load.js';
import { RamSaver } from '../../src/client/migration/ram-save.js';
import { MigrationStatistics } from '../../src/client/migration/statistics.js';
import { ramRecordStruct, ramRunStruct } from '../../src/client/migration/stream.js';
import { StreamReader } from '../../src/client/migration/stream-reader.js';
import { StreamWriter } from '../../src/client/migration/stream-writer.js';
import { GuestMemory } from '../../src/client/vm/memory.js';
import { PAGE_SIZE, Ram } from '../../src/client/vm/ram.js';
import { VmStateHandlers } from '../../src/client/vm/state-handlers.js';
import { socketPair } from '../../src/sys/socket.js';

const PAGES = 1203;

async function withChannels(body: (sender: Channel, receiver: Channel) => Promise<void>): Promise<void> {
  const [one, other] = socketPair();
  const [sender, receiver] = [new Channel(one), new Channel(other)];
  try {
    await body(sender, receiver);
  } finally {
    sender.shutdown();
    receiver.shutdown();
  }
}

const record = (zeros: readonly [number, number][], runs: readonly [number, number][], data: number): Uint8Array => {
  const head = ramRecordStruct.encode({ zero_runs: zeros.length, runs: runs.length });
  return Buffer.concat([head, ...[...zeros, ...runs].map(([page, count]) => ramRunStruct.encode({ page, count })),
    Buffer.alloc(data, 1)]);
};

describe('RAM in a migration', { timeout: 30_000 }, () => {
  it('arrives as it was, with what is written meanwhile, and zero pages take no room', () => withChannels(async (sender,
    receiver) => {
    const [from, to] = [new Ram(PAGES * PAGE_SIZE), new Ram(PAGES * PAGE_SIZE)];
    const memory = new GuestMemory(from, new VmStateHandlers(), () => true);
    const passes: number[] = [];
    const statistics = new MigrationStatistics(300);
    try {
      for (const page of [0, 1, 7, 300, 301, 302, 700, PAGES - 1]) from.write(page * PAGE_SIZE, randomBytes(PAGE_SIZE));
      // Written, and zero: found by looking. The target has something there.
      from.write(500 * PAGE_SIZE, new Uint8Array(3 * PAGE_SIZE));
      to.write(500 * PAGE_SIZE, randomBytes(PAGE_SIZE));
      to.write(900 * PAGE_SIZE, randomBytes(PAGE_SIZE));
      const saver = new RamSaver(memory, statistics, (count) => passes.push(count));
      let bytes = 0;
      const writer = new StreamWriter(sender, (count) => { bytes += count; });
      const reader = new StreamReader(receiver);
      saver.setup();
      assert.ok(saver.pending < 20 * PAGE_SIZE, `${saver.pending}`);
      const move = async (): Promise<void> => {
        while (await saver.send(writer, PAGE_SIZE)) loadRam(to, (await reader.next()).payload);
      };
      await move();
      assert.deepEqual(Buffer.compare(from.bytes, to.bytes), 0);
      assert.ok(bytes < 10 * PAGE_SIZE, `${bytes} bytes for 8 pages`);
      from.write(2 * PAGE_SIZE - 1, Buffer.from([1, 2]));
      saver.sync();
      assert.equal(saver.pending, 2 * PAGE_SIZE);
      await move();
      assert.deepEqual(Buffer.compare(from.bytes, to.bytes), 0);
      assert.deepEqual([passes, statistics.normalPages], [[1, 2], 10]);
      saver.cleanup();
      assert.equal(from.tracking, false);
    } finally {
      from.close();
      to.close();
    }
  }));

  const bad: readonly (readonly [string, Uint8Array])[] = [
    ['no head', new Uint8Array(4)], ['runs that are not there', record([], [], 0).fill(1, 0, 8)], ['a page past the end',
      record([], [[16, 1]], PAGE_SIZE)],
    ['a run past the end', record([], [[15, 2]], 2 * PAGE_SIZE)], ['an empty run', record([], [[0, 0]], 0)],
      ['zeros past the end', record([[0, 17]], [], 0)],
    ['too little data', record([], [[0, 2]], PAGE_SIZE)], ['too much data', record([], [[0, 1]], PAGE_SIZE + 1)], ['a huge run',
      record([[0xffff_ffff, 0xffff_ffff]], [], 0)],
  ];
  for (const [what, payload] of bad) {
    it(`is refused with ${what}`, () => {
      const ram = new Ram(16 * PAGE_SIZE);
      try {
        assert.throws(() => loadRam(ram, payload), { name: 'StreamError' });
      } finally {
        ram.close();
      }
    });
  }
});
