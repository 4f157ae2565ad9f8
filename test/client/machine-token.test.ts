/** The token that decides who has the machine. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MachineToken } from '../../src/client/migration/machine-token.js';
import { createEventfd } from '../../src/sys/eventfd.js';
import { duplicate, Fd } from '../../src/sys/fd.js';
import { bind, check } from '../../src/sys/libc.js';
import { socketPair } from '../../src/sys/socket.js';

describe('a machine token', () => {
  it('is taken once, by one of those who have it', () => {
    for (const first of ['source', 'destination'] as const) {
      const source = MachineToken.create();
      const destination = MachineToken.from([duplicate(source.fd)]);
      assert.ok(destination);
      const [winner, loser] = first === 'source' ? [source, destination] : [destination, source];
      assert.deepEqual([winner.take(), loser.take(), winner.take()], [true, false, false]);
      source.close();
      destination.close();
    }
  });

  it('is looked for without a wait, also where the other side has made the eventfd a blocking one', () => {
    const token = MachineToken.from([new Fd(check(bind('eventfd', 'int', ['uint', 'int'])(1, 0), 'eventfd'))]);
    assert.deepEqual([token?.take(), token?.take()], [true, false]);
    token?.close();
  });

  it('is nothing but one eventfd; whatever else comes is closed', () => {
    const [socket, peer] = socketPair();
    for (const descriptors of [[], [socket], [createEventfd(1), createEventfd(1)], [createEventfd(1), peer]]) {
      assert.equal(MachineToken.from(descriptors), undefined);
      assert.ok(descriptors.every((fd) => fd.closed));
    }
  });
});
