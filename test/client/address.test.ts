/** Connections of migrations, before there is one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { connect } from '../../src/client/migration/connection.js';

it('connect() that was given up before it began reaches nobody', async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-address-'));
  const path = join(scratch, 'socket');
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  }).listen(path);
  try {
    await once(server, 'listening');
    await assert.rejects(connect({ type: 'unix', path }, AbortSignal.abort()), /^Error: canceled$/);
    // One that does, and comes later, is the first that the server sees.
    const accepted = once(server, 'connection');
    (await connect({ type: 'unix', path }, new AbortController().signal)).close();
    await accepted;
    assert.equal(connections, 1);
  } finally {
    server.close();
    rmSync(scratch, { recursive: true });
  }
});
