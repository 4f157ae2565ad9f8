import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../src/abi/errno.js';
import { Tree } from '../../src/kernfs/tree.js';
import { AdaptivePoll } from '../../mount/adaptive-poll.js';
import { IN_BODY, fuse_in_header } from '../../mount/fuse-abi.js';
import { serve } from '../../mount/serve.js';
import { Session } from '../../mount/session.js';
import { FakeKernel } from '../fakes/channel.js';
import { getattrBody, opcodeOf, text } from './harness.js';

/** Counts how often the loop looked for a request. */
class CountingKernel extends FakeKernel {
  looks = 0;
  override receive(data: Uint8Array): number {
    this.looks++;
    return super.receive(data);
  }
}

async function served(tree = new Tree()): Promise<{ kernel: CountingKernel; session: Session }> {
  const kernel = new CountingKernel();
  const session = new Session(tree, kernel);
  serve(session, kernel, new AdaptivePoll({ window: 2000 }));
  await kernel.init();
  return { kernel, session };
}

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

test('after a request the loop asks for a while, and then no more', async () => {
  const { kernel, session } = await served();
  const before = kernel.looks;
  await kernel.request(opcodeOf('GETATTR'), 1, getattrBody());
  assert.ok(kernel.looks - before > 10);
  const then = kernel.looks;
  await turns(10);
  assert.equal(kernel.looks, then);
  assert.deepEqual(process.getActiveResourcesInfo().filter((name) => name === 'Immediate'), [], 'nothing wakes it but a request');
  session.end('test');
});

test('while a handler is busy the loop asks between turns of the event loop, once a turn', async () => {
  const tree = new Tree();
  let finish: (data: Uint8Array) => void = () => undefined;
  tree.addFile(tree.root, 'slow', 0o444, () => ({
    kind: 'slow', read: () => new Promise((resolve) => { finish = resolve; }), release: () => undefined,
  }));
  const { kernel, session } = await served(tree);
  const lookup = await kernel.request(opcodeOf('LOOKUP'), 1, Buffer.from('slow\0'));
  const nodeid = Number(new DataView(lookup.payload.buffer).getBigUint64(0, true));
  const opened = await kernel.request(opcodeOf('OPEN'), nodeid, new Uint8Array(8));
  const read = new Uint8Array(40);
  read.set(opened.payload.subarray(0, 8));
  new DataView(read.buffer).setUint32(16, 100, true);
  const reply = kernel.request(opcodeOf('READ'), nodeid, read);
  for (let i = 0; i < 5; i++) await kernel.request(opcodeOf('GETATTR'), 1, getattrBody());
  const before = kernel.looks;
  await turns(4);
  assert.ok(kernel.looks - before <= 5, `${kernel.looks - before} looks in 4 turns`);
  finish(Buffer.from('done'));
  assert.equal(text((await reply).payload), 'done');
  session.end('test');
});

test('requests that never stop leave timers their turn', async () => {
  const { kernel, session } = await served();
  const next = fuse_in_header.encode({ len: IN_BODY, opcode: opcodeOf('STATFS'), unique: 2n, nodeid: 1n });
  let going = true;
  kernel.receive = (data): number => {
    if (!going) return -ERRNO.EAGAIN;
    data.set(next);
    return next.length;
  };
  kernel.send = (_data, size): number => size;
  kernel.wake();
  for (let ticks = 0; ticks < 3; ticks++) await new Promise((resolve) => setTimeout(resolve, 1));
  going = false;
  session.end('test');
});

for (const [errno, when] of [['ENODEV', 'between two requests'], ['ECONNABORTED', 'while a request is being read']] as const) {
  test(`an unmount ${when} (${errno}) is the normal end of a session`, async () => {
    const { kernel, session } = await served();
    kernel.receive = () => -ERRNO[errno];
    kernel.wake();
    assert.equal(await session.whenEnded, 'unmounted');
  });
}
