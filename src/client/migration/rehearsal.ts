/**
 * A migration's stream through a socket pair, before there is a migration: code is compiled when it runs for the first time, and
 * most of this would run for the first time while the virtual machine stands still.
 */
import { socketPair } from '../../sys/socket.js';
import { Channel } from './channel.js';
import { ReturnPath } from './return-path.js';
import { parseJson, StreamReader } from './stream-reader.js';
import { StreamWriter } from './stream-writer.js';

/** The first one compiles; the engine notes what types there are only from a later one on. */
const ROUNDS = 3;
const RAM_HEAD = 8;

/** Takes some milliseconds, and touches nothing. Rejects with Errno where there are no descriptors left. */
export async function rehearseStream(): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const [source, target] = socketPair().map((socket) => new Channel(socket)) as [Channel, Channel];
    await Promise.all([send(source), receive(target)]).finally(() => {
      source.shutdown();
      target.shutdown();
    });
  }
}

async function send(channel: Channel): Promise<void> {
  const answers = new ReturnPath(channel);
  const writer = new StreamWriter(channel, () => undefined);
  await writer.preamble();
  await writer.json('configuration', {});
  await writer.record('ram', new Uint8Array(RAM_HEAD), new Uint8Array(0));
  await writer.deviceRecord('deviceData', 0, new Uint8Array(1));
  await writer.record('end');
  await answers.ready;
  answers.committed = true;
  await writer.record('commit');
  await answers.started;
}

async function receive(channel: Channel): Promise<void> {
  const reader = new StreamReader(channel);
  const answer = new StreamWriter(channel, () => undefined);
  await reader.preamble();
  parseJson((await reader.next()).payload);
  while ((await reader.next()).name !== 'end');
  await answer.record('ready');
  await reader.next();
  await answer.record('started');
}
