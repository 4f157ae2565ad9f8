/** The QMP server's limits: long lines, deep lists, bad bytes, many clients, and none of it at the cost of anybody else. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { QmpClient } from '../../src/client/qmp/client.js';
import { MDEVSIM } from '../cli/mdevsim.js';
import { Child } from '../e2e/child.js';
import { connectMonitor } from '../e2e/monitor.js';
import { whyNoQemu } from '../e2e/requirements.js';
import { ask, askQemu, expected, LIMIT, LIMIT_ROWS, SLOW_ROWS } from './qmp-limits-script.js';
import { RawClient } from './qmp-raw.js';

const MIB = 1 << 20;
const CLIENTS = 100;

let scratch = '';
let path = '';
let vmm: Child;

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

  for (const row of [...LIMIT_ROWS, ...SLOW_ROWS]) {
    it(`${row.what}: answers as QEMU does`, async () => assert.deepEqual(await ask(path, row), expected(row)));
  }

  it('a line of 64 MiB is answered, with all of its id', () => besideAnother(async () => {
    const client = await RawClient.connect(path);
    const { line, id } = request(LIMIT - 1);
    await client.write(line);
    const reply = await client.line();
    assert.ok(reply.equals(Buffer.from(`{"return": {}, "id": "${id}"}`)), reply.subarray(0, 100).toString());
    client.end();
  }));

  it('one of a byte more is an error, and its client may go on', () => besideAnother(async () => {
    const client = await RawClient.connect(path);
    await client.write(request(LIMIT).line);
    assert.match((await client.line()).toString(), /JSON token size limit exceeded/);
    await client.write('{"execute":"query-name","id":"on"}\n');
    assert.match((await client.line()).toString(), /"id": "on"/);
    client.end();
  }));

  it('a string without an end is not kept', () => besideAnother(async () => {
    const client = await RawClient.connect(path);
    const before = peak();
    await client.write('{"execute":"query-name","id":"');
    for (let sent = 0; sent < 2; sent++) await client.write(Buffer.alloc(LIMIT, 'x'));
    await client.write('\n');
    for (let told = 0; told < 2; told++) assert.match((await client.line()).toString(), /JSON token size limit exceeded/);
    await client.write('{"execute":"query-name","id":"on"}\n');
    assert.match((await client.line()).toString(), /"id": "on"/);
    assert.ok(peak() - before < 3 * LIMIT, `${(peak() - before) / MIB} MiB`);
    client.end();
  }));

  it('a client that vanishes in the middle of 64 MiB is forgotten', () => besideAnother(async () => {
    for (let turn = 0; turn < 2; turn++) {
      const client = await RawClient.connect(path);
      await client.write(request(LIMIT).line.subarray(0, LIMIT / 8));
      client.end();
    }
  }));

  it(`${CLIENTS} clients send long requests in pieces, and garbage`, () => besideAnother(async () => {
    const garbage = Buffer.from(Array.from({ length: 4096 }, (_, at) => at * 7919 % 251));
    const { line, id } = request(MIB / 4);
    await Promise.all(Array.from({ length: CLIENTS }, async (_, n) => {
      const client = await RawClient.connect(path);
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

const skip = whyNoQemu();
describe('limits of stock QEMU', { timeout: 60_000, ...(skip === undefined ? {} : { skip }) }, () => {
  for (const row of LIMIT_ROWS) it(row.what, () => askQemu(row));
});
