/** A VMM in a process of its own, and clients that send as much as they may, and more: the others notice nothing. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { QmpClient } from '../../src/client/qmp/client.js';
import { Child, MDEVSIM } from '../e2e/child.js';
import { within } from '../e2e/deadline.js';
import { connectMonitor } from '../e2e/monitor.js';

const MIB = 1 << 20;
/** Bytes of one message's tokens that the server takes. */
const LIMIT = 64 * MIB;
const CLIENTS = 100;

let scratch = '';
let path = '';
let vmm: Child;

/** A client that has negotiated and writes what it likes. */
class Raw {
  readonly #socket: Socket;
  readonly #lines: Buffer[] = [];
  #pieces: Buffer[] = [];
  #look: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (data: Buffer) => this.#receive(data));
    socket.on('close', () => this.#look());
  }

  static async connect(): Promise<Raw> {
    const raw = new Raw(createConnection({ path }));
    await raw.line();
    await raw.write('{"execute":"qmp_capabilities"}\n');
    assert.equal((await raw.line()).toString(), '{"return": {}}');
    return raw;
  }

  write(data: string | Buffer): Promise<void> {
    return new Promise((resolve) => this.#socket.write(data, () => resolve()));
  }

  /** The next line, without its end. */
  line(): Promise<Buffer> {
    return within(30, 'a line', new Promise((resolve, reject) => {
      this.#look = (): void => {
        const line = this.#lines.shift();
        if (line !== undefined) {
          this.#look = (): void => undefined;
          resolve(line);
        } else if (this.#socket.destroyed) reject(new Error('closed'));
      };
      this.#look();
    }));
  }

  #receive(data: Buffer): void {
    let from = 0;
    for (let end = data.indexOf('\r\n'); end >= 0; end = data.indexOf('\r\n', from)) {
      this.#lines.push(Buffer.concat([...this.#pieces, data.subarray(from, end)]));
      this.#pieces = [];
      from = end + 2;
    }
    this.#pieces.push(data.subarray(from));
    this.#look();
  }

  end(): void {
    this.#socket.destroy();
  }
}

/** `query-name` with an id that makes its tokens that many bytes. */
function request(bytes: number): { readonly line: Buffer; readonly id: string } {
  const around = '{"execute":"query-name","id":""}';
  const id = 'x'.repeat(bytes - around.length);
  return { line: Buffer.from(`${around.replace('""', `"${id}"`)}\n`), id };
}

/** Bytes of memory that the VMM has had at most. */
const peak = (): number => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${vmm.pid}/status`, 'latin1'))?.[1]) * 1024;

/** Runs `body` while another client asks and asks. */
async function besideAnother(body: () => Promise<void>): Promise<void> {
  const other = await QmpClient.connect(path);
  let over = false;
  let answers = 0;
  const asking = (async (): Promise<void> => {
    do {
      assert.deepEqual(await other.execute('query-status'), { status: 'running', running: true });
      answers++;
    } while (!over);
  })();
  try {
    await body();
  } finally {
    over = true;
    await asking;
    other.close();
  }
  assert.ok(answers > 1, `${answers} answers`);
}

describe('limits of the QMP server', { timeout: 110_000 }, () => {
  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'mdevsim-limits-'));
    path = join(scratch, 'qmp');
    vmm = new Child('mdevsim vmm', [...MDEVSIM, 'vmm', '--ram', '1M', '--qmp', `unix:${path}`]);
    (await connectMonitor(path, vmm)).close();
  });
  after(async () => {
    await vmm.stop('SIGTERM');
    rmSync(scratch, { recursive: true, force: true });
  });

  it('a request of 64 MiB is answered, with all of its id', () => besideAnother(async () => {
    const client = await Raw.connect();
    const { line, id } = request(LIMIT);
    await client.write(line);
    const reply = await client.line();
    assert.ok(reply.equals(Buffer.from(`{"return": {}, "id": "${id}"}`)), reply.subarray(0, 100).toString());
    client.end();
  }));

  it('one of a byte more is an error, and its client may go on', () => besideAnother(async () => {
    const client = await Raw.connect();
    await client.write(request(LIMIT + 1).line);
    assert.match((await client.line()).toString(), /JSON token size limit exceeded/);
    await client.write('{"execute":"query-name","id":"on"}\n');
    assert.match((await client.line()).toString(), /"id": "on"/);
    client.end();
  }));

  it('a string without an end is not kept', () => besideAnother(async () => {
    const client = await Raw.connect();
    const before = peak();
    await client.write('{"execute":"query-name","id":"');
    for (let sent = 0; sent < 2; sent++) await client.write(Buffer.alloc(LIMIT, 'x'));
    assert.match((await client.line()).toString(), /JSON token size limit exceeded/);
    await client.write('\n{"execute":"query-name","id":"on"}\n');
    assert.match((await client.line()).toString(), /"id": "on"/);
    assert.ok(peak() - before < 3 * LIMIT, `${(peak() - before) / MIB} MiB`);
    client.end();
  }));

  it('a client that vanishes in the middle of 64 MiB is forgotten', () => besideAnother(async () => {
    for (let turn = 0; turn < 2; turn++) {
      const client = await Raw.connect();
      await client.write(request(LIMIT).line.subarray(0, LIMIT / 8));
      client.end();
    }
  }));

  it(`${CLIENTS} clients send long requests in pieces, and garbage`, () => besideAnother(async () => {
    const garbage = Buffer.from(Array.from({ length: 4096 }, (_, at) => at * 7919 % 251));
    const { line, id } = request(MIB / 4);
    await Promise.all(Array.from({ length: CLIENTS }, async (_, n) => {
      const client = await Raw.connect();
      if (n % 2 === 1) {
        // What garbage there is at the end: a control character that fits nowhere puts the parser into its first state.
        await client.write(Buffer.concat([garbage, Buffer.from('\x01\n{"execute":"query-name","id":"on"}\n')]));
        while (!/"id": "on"/.test((await client.line()).toString()));
      } else {
        for (let at = 0; at < line.length; at += 100_000) await client.write(line.subarray(at, at + 100_000));
        assert.ok((await client.line()).equals(Buffer.from(`{"return": {}, "id": "${id}"}`)));
      }
      client.end();
    }));
  }));
});
