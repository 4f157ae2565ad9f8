/** What a QMP server answers at its limits and beyond them: for `mdevsim vmm` and for stock QEMU. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from '../e2e/child.js';
import { connectMonitor } from '../e2e/monitor.js';
import { QEMU } from '../e2e/vm.js';
import { RawClient } from './qmp-raw.js';

const MIB = 1 << 20;
/** What all tokens of one message may not reach, bytes. QEMU's MAX_TOKEN_SIZE. */
export const LIMIT = 64 * MIB;
/** QEMU's MAX_TOKEN_COUNT and MAX_NESTING. */
const TOKENS = 2 * MIB;
const NESTING = 1024;

export interface LimitRow {
  readonly what: string;
  /** Pieces of bytes; of all connections but the last one nobody waits for an answer. */
  readonly connections: readonly (readonly (() => string | Buffer)[])[];
  readonly answers: readonly string[];
}

const error = (desc: string): string => `{"error": {"class": "GenericError", "desc": "${desc}"}}`;
const parse = (detail: string): string => error(`JSON parse error, ${detail}`);
const stray = (text: string): string => parse(`stray '${text}'`);
const NO_VALUE = parse('expecting value');
const NO_OBJECT = error('QMP input must be a JSON object');
const request = (id: string): string => `{"execute":"query-name","id":${id}}\n`;
const answer = (id: string): string => `{"return": {}, "id": ${id}}`;
const row = (what: string, bytes: string | Buffer, ...answers: string[]): LimitRow =>
  ({ what, connections: [[() => bytes]], answers });
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const garbage = Buffer.from(Array.from({ length: 64 }, (_, at) => at * 7919 % 251));

export const LIMIT_ROWS: readonly LimitRow[] = [
  row('lists as deep as may be', request(nested(NESTING - 1)), answer(nested(NESTING - 1))),
  row('lists that are too deep', request(nested(NESTING)),
    error('JSON nesting depth limit exceeded'), ...new Array<string>(NESTING + 1).fill(NO_VALUE)),
  row('objects that are too deep', `${'{"a":'.repeat(NESTING + 1)}1}\n`,
    error('JSON nesting depth limit exceeded'), NO_OBJECT, NO_VALUE, NO_OBJECT, NO_VALUE),
  row('nothing but spaces', ' '.repeat(100_000)),
  row('garbage', Buffer.concat([garbage, Buffer.from('\n')]),
    stray(''), stray('\\u0019'), NO_VALUE, ...['\\f', '\\u0018', '\\u000B', '\\u0017', '\\uFFFD', '\\u0016'].map(stray)),
  {
    what: 'a request that comes in pieces, which end within a name, an escape and a character',
    connections: [[
      '{"exec', 'ute":"query-name","id":"\\u00', 'e9 \\', 'n ', Buffer.from([0xe2, 0x82]), Buffer.from([0xac]), '"', '}',
    ].map((piece) => () => piece)],
    answers: [answer('"\\u00E9 \\n \\u20AC"')],
  },
  {
    what: 'clients that vanish within a string, an object and a list, and one that speaks after them',
    connections: ['{"execute":"query-name","id":"', '{"execute":', '[[[[']
      .map((piece): (() => string)[] => [() => piece]).concat([[() => request('1')]]),
    answers: [answer('1')],
  },
];

/** QEMU reads byte by byte: each of these takes it minutes. */
export const SLOW_ROWS: readonly LimitRow[] = [
  {
    what: 'a list whose tokens come to one byte less than 64 MiB, and the next of which is too much',
    connections: [[() => `["${'x'.repeat(LIMIT - 6 - '[""'.length)}",1,2,3,4,5]\n`]],
    answers: [error('JSON token size limit exceeded'), NO_VALUE, NO_OBJECT, NO_VALUE, NO_OBJECT, NO_VALUE],
  },
  {
    what: 'a string that is too long, of which the rest is a keyword',
    connections: [[() => `"${'x'.repeat(LIMIT + 5)}\n`]],
    answers: [error('JSON token size limit exceeded'), parse("invalid keyword 'xxxxx'")],
  },
  {
    what: 'as many tokens as may be, and one more',
    connections: [[
      () => request(`[[]${',1'.repeat((TOKENS - 12) / 2)}]`), () => request(`[${'1,'.repeat((TOKENS - 10) / 2)}1]`),
    ]],
    answers: [answer(`[[]${', 1'.repeat((TOKENS - 12) / 2)}]`), error('JSON token count limit exceeded')],
  },
];

/** A line as it is compared. */
const condensed = (line: Buffer): string => (line.length < 3000 ? line.toString()
  : `${line.toString('latin1', 0, 40)}... ${line.length} bytes, SHA-1 ${createHash('sha1').update(line).digest('hex')}`);

/** What a server says to a row; `patience`, s, for a line. */
export async function ask(path: string, { connections }: LimitRow, patience?: number): Promise<string[]> {
  for (const [index, pieces] of connections.entries()) {
    const client = await RawClient.connect(path);
    for (const piece of pieces) await client.write(piece());
    if (index < connections.length - 1) client.end();
    else {
      await client.write('{"execute":"query-name","id":"the end"}\n');
      const lines = await client.linesBefore(/"id": "the end"/, patience);
      client.end();
      return lines.map(condensed);
    }
  }
  return [];
}

export const expected = ({ answers }: LimitRow): string[] => answers.map((text) => condensed(Buffer.from(text)));

/** Throws where stock QEMU answers otherwise. */
export async function askQemu(row: LimitRow, patience?: number): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-limits-'));
  const path = join(scratch, 'qmp');
  const monitor = ['-qmp', `unix:${path},server=on,wait=off`];
  const qemu = new Child('QEMU', [QEMU, '-machine', 'none', '-display', 'none', '-nodefaults', ...monitor]);
  try {
    (await connectMonitor(path, qemu)).close();
    assert.deepEqual(await ask(path, row, patience), expected(row));
  } finally {
    await qemu.stop('SIGKILL');
    rmSync(scratch, { recursive: true, force: true });
  }
}
