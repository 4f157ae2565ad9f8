/** Records of all sizes on a channel: wherever the bytes are cut or changed, what comes out is a beginning of what went in. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { Channel, EndOfStream } from '../../src/client/migration/channel.js';
import { HEADER_SIZE, MAX_PAYLOAD, PREAMBLE_SIZE, StreamError } from '../../src/client/migration/stream.js';
import { ReturnPath } from '../../src/client/migration/return-path.js';
import { StreamReader } from '../../src/client/migration/stream-reader.js';
import type { StreamRecord } from '../../src/client/migration/stream-reader.js';
import { StreamWriter } from '../../src/client/migration/stream-writer.js';
import { duplicate } from '../../src/sys/fd.js';
import { socketPair } from '../../src/sys/socket.js';

type Sent = Omit<StreamRecord, 'payload'> & { readonly payload: Buffer };
const record = (name: Sent['name'], size: number, device = 0): Sent => ({ name, device, payload: randomBytes(size) });
const RECORDS: readonly Sent[] = [
  record('configuration', 33), record('ram', MAX_PAYLOAD), record('deviceData', MAX_PAYLOAD, 1),
  record('deviceData', MAX_PAYLOAD - 1), record('deviceData', 1, 7), record('deviceConfig', 256, 1), record('switchoverStart', 0),
  record('ram', 70_000), record('end', 0), record('commit', 0),
];

async function withChannels<T>(body: (sender: Channel, receiver: Channel) => Promise<T>): Promise<T> {
  const [sender, receiver] = socketPair().map((fd) => new Channel(fd)) as [Channel, Channel];
  try {
    return await body(sender, receiver);
  } finally {
    sender.shutdown();
    receiver.shutdown();
  }
}

/** The bytes of the whole stream. */
const encode = (): Promise<Buffer> => withChannels(async (sender, receiver) => {
  let size = 0;
  const writer = new StreamWriter(sender, (bytes) => { size += bytes; });
  const all = Buffer.alloc(PREAMBLE_SIZE + RECORDS.reduce((sum, { payload }) => sum + HEADER_SIZE + payload.length, 0));
  const received = receiver.read(all);
  await writer.preamble();
  for (const { name, device, payload } of RECORDS) {
    if (name === 'deviceData' || name === 'deviceConfig') await writer.deviceRecord(name, device, payload);
    // In two parts: the receiver must not see that.
    else await writer.record(name, payload.subarray(0, payload.length >> 1), payload.subarray(payload.length >> 1));
  }
  await received;
  assert.equal(size, all.length);
  return all;
});

interface Decoded {
  readonly count: number;
  readonly error: unknown;
}

/** How many records come whole out of those bytes, and what comes then. Each is compared with what was sent. */
const decode = (parts: readonly Uint8Array[]): Promise<Decoded> => withChannels(async (sender, receiver) => {
  const written = sender.write(parts).then(() => sender.shutdown(), () => undefined);
  const reader = new StreamReader(receiver);
  let count = 0;
  try {
    await reader.preamble();
    for (; ; count++) {
      const { name, device, payload } = await reader.next();
      const sent = RECORDS[count];
      assert.deepEqual([name, device], [sent?.name, sent?.device]);
      assert.ok(sent?.payload.equals(payload), `record ${count}`);
    }
  } catch (error) {
    receiver.shutdown();
    await written;
    return { count, error };
  }
});

function ends({ count, error }: Decoded, after: number, by: typeof StreamError | typeof EndOfStream, what: string): void {
  assert.ok(count === after && error instanceof by, `${what}: ${count} records, then ${String(error)}`);
}

describe('a channel', () => {
  it('that is shut down ends for its peer too, although somebody else has a copy of the socket', async () => {
    const [mine, theirs] = socketPair();
    const copy = duplicate(mine.fd);
    const [channel, peer] = [new Channel(mine), new Channel(theirs)];
    try {
      channel.shutdown();
      await assert.rejects(peer.read(new Uint8Array(1)), EndOfStream);
    } finally {
      peer.shutdown();
      copy.close();
    }
  });
});

describe('the answers to a stream', () => {
  for (const [said, taken] of [['no\nMIGRATION completed', 'no'], ['x'.repeat(5000), 'x'.repeat(1024)], ['', '']] as const) {
    it(`bring a line of text where they refuse, however much they say: ${said.length} bytes`, () => withChannels(
      async (sender, receiver) => {
      const answers = new ReturnPath(sender);
      await new StreamWriter(receiver, () => undefined).record('refused', Buffer.from(said));
      await assert.rejects(answers.ready, StreamError);
      assert.equal(answers.refusal, taken);
    }));
  }
});

describe('the records of a stream', { timeout: 80_000 }, () => {
  it('come out as they went in, and end where the connection does', async () => {
    const { count, error } = await decode([await encode()]);
    assert.equal(count, RECORDS.length);
    assert.ok(error instanceof EndOfStream, String(error));
  });

  it('come out up to the one that is cut or changed, at every boundary and within', async () => {
    const good = await encode();
    let start = PREAMBLE_SIZE;
    for (const [index, { name, payload }] of RECORDS.entries()) {
      const end = start + HEADER_SIZE + payload.length;
      const { length } = payload;
      const body = [0, 1, length >> 2, length >> 1, length - 2, length - 1].filter((at) => at >= 0 && at < length);
      for (const at of [...Array.from({ length: HEADER_SIZE }, (_, byte) => byte), ...body.map((byte) => HEADER_SIZE + byte)]) {
        const what = `${name}, at ${at}`;
        const place = start + at;
        ends(await decode([good.subarray(0, place)]), index, EndOfStream, `${what}, cut`);
        // One bit, another one at each place.
        const byte = Uint8Array.of((good[place] ?? 0) ^ 1 << (at & 7));
        ends(await decode([good.subarray(0, place), byte, good.subarray(place + 1, end)]), index, StreamError, `${what}, changed`);
      }
      const lost = await decode([good.subarray(0, start), good.subarray(end)]);
      ends(lost, index, end === good.length ? EndOfStream : StreamError, `${name} lost`);
      ends(await decode([good.subarray(0, end), good.subarray(start, end)]), index + 1, StreamError, `${name} doubled`);
      start = end;
    }
    assert.equal(start, good.length);
  });

  it('are refused with blocks of a large payload exchanged, or one bit less in each of two', async () => {
    const good = await encode();
    const start = PREAMBLE_SIZE + HEADER_SIZE + (RECORDS[0]?.payload.length ?? 0) + HEADER_SIZE;
    for (const size of [1, 4, 16, 64, 4096, 1 << 18]) {
      const [a, b] = [start + size * 2, start + size * 3];
      const [before, first, second, after] = [good.subarray(0, a), good.subarray(a, b), good.subarray(b, b + size),
        good.subarray(b + size)];
      if (!first.equals(second)) ends(await decode([before, second, first, after]), 1, StreamError, `${size} exchanged`);
      const twice = Buffer.from(good);
      for (const at of [a, b]) twice[at] = (twice[at] ?? 0) ^ 0x80;
      ends(await decode([twice]), 1, StreamError, `${size} apart`);
    }
  });
});
