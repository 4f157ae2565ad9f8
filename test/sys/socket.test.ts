/** Stream sockets: what a migration's channel is made of. */
import assert from 'node:assert/strict';
import { openSync, closeSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readFd, setNonBlocking, writeFd, writevFd } from '../../src/sys/io.js';
import { isStreamSocket, shutdownWriting, socketPair, takeSocket } from '../../src/sys/socket.js';
import { Readiness } from '../../src/sys/watch.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
/** Whether it settles within a few turns of the event loop. */
async function settles(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => { done = true; });
  for (let turn = 0; turn < 20 && !done; turn++) await new Promise((resolve) => { setImmediate(resolve); });
  return done;
}

describe('stream sockets', { timeout: 10_000 }, () => {
  it('are told from everything else', () => {
    const [one, other] = socketPair();
    const file = openSync('/dev/null', 'r');
    assert.deepEqual([isStreamSocket(one.fd), isStreamSocket(file), isStreamSocket(987_654)], [true, false, false]);
    closeSync(file);
    one.close();
    other.close();
  });

  it('take several buffers with one call, in order', () => {
    const [one, other] = socketPair();
    assert.equal(writevFd(one.fd, ['ab', '', 'cde'].map((part) => Buffer.from(part))), 5);
    const into = new Uint8Array(8);
    assert.equal(text(into.subarray(0, readFd(other.fd, into, into.length))), 'abcde');
    shutdownWriting(one.fd);
    assert.equal(readFd(other.fd, into, into.length), 0);
    one.close();
    other.close();
  });

  it('are waited for in both directions at a time', async () => {
    const [one, other] = socketPair();
    for (const { fd } of [one, other]) setNonBlocking(fd);
    const readiness = new Readiness(one.fd);
    const readable = readiness.wait('readable');
    assert.equal(await settles(readable), false);
    assert.equal(await settles(readiness.wait('writable')), true);
    assert.equal(await settles(readable), false);
    const block = new Uint8Array(1 << 16);
    while (writeFd(one.fd, block, block.length) > 0);
    const writable = readiness.wait('writable');
    assert.equal(await settles(writable), false);
    writeFd(other.fd, block, 1);
    await readable;
    assert.equal(await settles(writable), false);
    while (readFd(other.fd, block, block.length) > 0);
    await writable;
    // Nobody to come any more: whoever waits, or begins to, tries for himself.
    readFd(one.fd, block, 1);
    const pending = readiness.wait('readable');
    assert.equal(await settles(pending), false);
    readiness.close();
    await pending;
    await readiness.wait('writable');
    one.close();
    other.close();
  });

  it('are taken from Node with all that has come', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-socket-'));
    const server = createServer({ pauseOnConnect: true });
    try {
      const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
      await new Promise<void>((resolve) => server.listen(join(dir, 's'), resolve));
      const client = connect(join(dir, 's'));
      client.write('first');
      const fd = takeSocket(await accepted);
      client.end('second');
      assert.ok(fd);
      setNonBlocking(fd.fd);
      const readiness = new Readiness(fd.fd);
      const into = new Uint8Array(64);
      let received = '';
      for (let count = -1; count !== 0;) {
        count = readFd(fd.fd, into, into.length);
        if (count > 0) received += text(into.subarray(0, count));
        else if (count < 0) await readiness.wait('readable');
      }
      assert.equal(received, 'firstsecond');
      readiness.close();
      fd.close();
      client.destroy();
      assert.equal(takeSocket(client), undefined);
    } finally {
      server.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
