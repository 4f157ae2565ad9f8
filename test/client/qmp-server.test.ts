/** Clients of the monitor that behave badly harm only themselves. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningVmm } from '../../src/client/main.js';
import { startVmm } from '../../src/client/main.js';
import { sendWithDescriptors } from './descriptors.js';
import { QmpClient, QmpReplyError } from '../../src/client/qmp/client.js';

const CLIENTS = 100;
let scratch = '';
let path = '';
let vmm: RunningVmm;
const faults: string[] = [];

/** A socket with everything that came on it. */
class Raw {
  text = '';
  readonly #socket: Socket;
  readonly closed: Promise<void>;

  constructor(options: { readonly reads?: boolean } = {}) {
    this.#socket = createConnection({ path });
    this.#socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => this.#socket.once('close', () => resolve()));
    if (options.reads === false) this.#socket.pause();
    else this.#socket.on('data', (data: Buffer) => { this.text += data.toString(); });
  }

  write(data: string | Buffer): Promise<void> {
    return new Promise((resolve) => this.#socket.write(data, () => resolve()));
  }
  pass(text: string, descriptor: number): void {
    sendWithDescriptors(this.#socket, text, [descriptor]);
  }
  async until(pattern: RegExp): Promise<string> {
    const end = Date.now() + 15_000;
    for (;;) {
      const found = pattern.exec(this.text);
      if (found !== null) return found[0];
      if (Date.now() > end) throw new Error(`${String(pattern)} never came: ${this.text.slice(-1000)}`);
      await sleep(5);
    }
  }
  end(): void {
    this.#socket.destroy();
  }
}

/** Somebody else is served all the time. */
async function assertServes(): Promise<void> {
  const client = await QmpClient.connect(path);
  assert.equal((await client.execute('query-status')).status, 'running');
  client.close();
}

describe('the QMP server', { timeout: 60_000 }, () => {
  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'mdevsim-server-'));
    path = join(scratch, 'qmp');
    vmm = await startVmm({
      ram: 1 << 20, devices: [], qmp: [path], stopped: false, onlyMigratable: false, notify: false, prepareEvents: 'none',
        breaks: [],
      log: (level, message) => { if (level === 'error') faults.push(message); },
    });
  });
  after(async () => {
    vmm.shutdown();
    await vmm.ended;
    rmSync(scratch, { recursive: true, force: true });
  });

  it('takes requests in any pieces, and many at once in their order', async () => {
    const client = new Raw();
    for (const byte of '{"execute":"qmp_capabilities"}\n{"execute":"query-status","id":"a piece"}') await client.write(byte);
    await client.until(/"id": "a piece"/);
    await client.write(Array.from({ length: 200 }, (_, id) => `{"execute":"query-name","id":${id}}`).join(''));
    await client.until(/"id": 199/);
    const ids = [...client.text.matchAll(/"id": (\d+)/g)].map(([, id]) => Number(id));
    assert.deepEqual(ids, Array.from({ length: 200 }, (_, id) => id));
    client.end();
  });

  it('lets clients vanish in the middle of a request, a reply or the negotiation', async () => {
    for (const text of ['', '{"exec', '{"execute":"qmp_capabilities"}',
      '{"execute":"qmp_capabilities"}{"execute":"query-commands"}'.repeat(50), '[[[[']) {
      const client = new Raw();
      await client.write(text);
      client.end();
      await client.closed;
    }
    await assertServes();
  });

  it('answers garbage with errors, and the client may go on', async () => {
    const client = new Raw();
    await client.write('{"execute":"qmp_capabilities"}\n');
    await client.write(Buffer.from(Array.from({ length: 4096 }, (_, at) => at * 7919 % 256)));
    await client.write('\n\n}]}\n{"execute":"query-status","id":"after"}\n');
    await client.until(/"id": "after"|JSON parse error/);
    // Brackets of the garbage may still be open: control characters that fit nowhere force the parser into its first state.
    await client.write('\x01\n{"execute":"query-status","id":"well"}\n');
    await client.until(/"id": "well"/);
    client.end();
    await assertServes();
  });

  it('serves a hundred clients, and tells each of an event once', async () => {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => QmpClient.connect(path)));
    await clients[0]?.execute('stop');
    await clients[1]?.execute('cont');
    for (const client of clients) {
      await client.event(({ event }) => event === 'RESUME');
      assert.deepEqual(client.events.map(({ event }) => event), ['STOP', 'RESUME']);
    }
    for (const client of clients) client.close();
  });

  it('is not held up by a client that asks and never reads', async () => {
    const client = new Raw({ reads: false });
    const request = '{"execute":"query-commands"}\n'.repeat(2000);
    void client.write('{"execute":"qmp_capabilities"}\n');
    for (let turn = 0; turn < 20; turn++) void client.write(request);
    for (let turn = 0; turn < 20; turn++) await assertServes();
    client.end();
  });

  it('gives everybody a turn, however much one of them has sent', async () => {
    const [flood, other] = [new Raw(), await QmpClient.connect(path)];
    await flood.until(/QMP/);
    await flood.write('{"execute":"qmp_capabilities"}\n');
    await flood.until(/return/);
    await flood.write(`${'\0'.repeat(40_000)}{"execute":"stop"}\n`);
    assert.equal((await other.execute('query-status')).status, 'running');
    await other.event(({ event }) => event === 'STOP', { what: 'STOP' });
    await flood.until(/"return": \{\}\}\r\n$/);
    assert.equal(flood.text.match(/stray/g)?.length, 40_000);
    await other.execute('cont');
    other.close();
    flood.end();
  });

  it('takes a request of many megabytes', async () => {
    const client = new Raw();
    await client.write('{"execute":"qmp_capabilities"}\n');
    const long = 'x'.repeat(8 << 20);
    await client.write(`{"execute":"nope","arguments":{"a":"${long}"},"id":"long"}\n`);
    await client.until(/"id": "long"/);
    assert.match(client.text, /The command nope has not been found/);
    client.end();
  });

  it('refuses a migration over a descriptor that is no socket, and keeps none', async () => {
    const file = openSync('/dev/null', 'r+');
    const client = new Raw();
    await client.write('{"execute":"qmp_capabilities","id":"in"}');
    await client.until(/"id": "in"/);
    const before = readdirSync('/proc/self/fd').length;
    client.pass('{"execute":"getfd","arguments":{"fdname":"a file"},"id":"got"}', file);
    await client.until(/\{"return": \{\}, "id": "got"\}/);
    assert.equal(readdirSync('/proc/self/fd').length, before + 1);
    await client.write('{"execute":"migrate","arguments":{"uri":"fd:a file"},"id":"failed"}');
    await client.until(/File descriptor named 'a file' is not a stream socket"\}, "id": "failed"/);
    assert.equal(readdirSync('/proc/self/fd').length, before);
    client.end();
    closeSync(file);
  });

  it('lets a held main loop be let go, by new clients too', async () => {
    const client = await QmpClient.connect(path);
    await client.execute('x-mdevsim-break', { step: 'save_prepare' });
    const refused = assert.rejects(client.execute('migrate', { uri: 'fd:77' }), (error: unknown) =>
      error instanceof QmpReplyError);
    await client.event(({ event }) => event === 'X_MDEVSIM_BREAK');
    const other = await QmpClient.connect(path);
    assert.deepEqual(await other.execute('x-query-mdevsim-steps'), { breaks: ['save_prepare'], held: ['save_prepare'] });
    const waits = other.execute('query-status');
    await assert.rejects(other.execute('x-mdevsim-continue', { step: 'load' }), /Step 'load' is not held/);
    await other.execute('x-mdevsim-continue', {});
    await refused;
    assert.equal((await waits).status, 'running');
    await assert.rejects(other.execute('x-mdevsim-continue', {}), /Nothing is held/);
    await other.execute('x-mdevsim-break', { step: 'save_prepare', enable: false });
    for (const one of [client, other]) one.close();
  });

  it('has no defect to report at the end', () => assert.deepEqual(faults, []));
});
