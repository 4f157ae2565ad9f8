/** A stream that is cut or changed anywhere: there are never two running machines, and none only where nobody can know. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { parseUri } from '../../src/client/migration/address.js';
import { Channel } from '../../src/client/migration/channel.js';
import { StreamReader } from '../../src/client/migration/stream-reader.js';
import { StreamWriter } from '../../src/client/migration/stream-writer.js';
import { HEADER_SIZE, PREAMBLE_SIZE, StreamChecksum, StreamError } from '../../src/client/migration/stream.js';
import type { RunningVmm } from '../../src/client/main.js';
import { startVmm } from '../../src/client/main.js';
import { QmpClient } from '../../src/client/qmp/client.js';
import type { Fd } from '../../src/sys/fd.js';
import { socketPair, takeSocket } from '../../src/sys/socket.js';
import { giveDescriptor, receiveWithDescriptors, sendWithDescriptors } from './descriptors.js';

const RAM = 256 << 10;
const COMMON = {
  ram: RAM, devices: [], stopped: false, onlyMigratable: false, notify: false, prepareEvents: 'none', breaks: [], log: () => undefined,
} as const;
let scratch = '';
before(() => { scratch = mkdtempSync(join(tmpdir(), 'mdevsim-stream-')); });
after(() => rmSync(scratch, { recursive: true, force: true }));

type Direction = 'forth' | 'back';
type Harm = { readonly direction: Direction; readonly kind: 'cut' | 'cut both' | 'change'; readonly at: number };
/** What goes through a proxy: bytes only, as through TCP or socat, or descriptors too, as where nothing is in between. */
type Passing = 'bytes' | 'descriptors';

/** Passes on what comes, but for one harm. Counts the bytes, and keeps them. */
class Proxy {
  readonly counts = { forth: 0, back: 0 };
  readonly seen: { readonly [direction in Direction]: Buffer[] } = { forth: [], back: [] };
  /** Descriptors that came. */
  descriptors = 0;
  readonly #sockets: Socket[] = [];
  readonly #server: Server;
  readonly #harm: Harm | undefined;

  constructor(path: string, to: string, harm: Harm | undefined, passing: Passing) {
    this.#harm = harm;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (source) => {
      void this.#connected(source, createConnection({ path: to, allowHalfOpen: true }), passing);
    });
    this.#server.listen({ path });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #connected(source: Socket, target: Socket, passing: Passing): Promise<void> {
    this.#sockets.push(source, target);
    await once(target, 'connect');
    const forth = this.#passer('forth', source, target);
    this.#passer('back', target, source);
    if (passing === 'descriptors') {
      const { data, descriptors } = await receiveWithDescriptors(source);
      this.descriptors = descriptors.length;
      forth(data, descriptors);
      for (const fd of descriptors) fd.close();
    }
    source.resume();
  }

  /** Returns what passes a piece on. */
  #passer(direction: Direction, from: Socket, to: Socket): (data: Buffer, descriptors?: readonly Fd[]) => void {
    const harm = this.#harm?.direction === direction ? this.#harm : undefined;
    let cut = false;
    const pass = (data: Buffer, descriptors: readonly Fd[] = []): void => {
      const begin = this.counts[direction];
      this.counts[direction] += data.length;
      this.seen[direction].push(Buffer.from(data));
      if (cut) return;
      const at = harm === undefined ? Infinity : harm.at - begin;
      cut = at >= 0 && at < data.length && harm?.kind !== 'change';
      if (at >= 0 && at < data.length && !cut) data[at] = (data[at] ?? 0) ^ 0x55;
      const whole = cut ? data.subarray(0, at) : data;
      if (descriptors.length > 0 && whole.length > 0) sendWithDescriptors(to, whole, descriptors.map(({ fd }) => fd));
      else to.write(whole);
      if (cut) to.end();
      if (cut && harm?.kind === 'cut both') for (const socket of this.#sockets) socket.destroySoon();
    };
    from.on('error', () => to.destroy());
    from.on('end', () => { if (!cut) to.end(); });
    from.on('close', () => { if (!cut) to.end(); });
    from.on('data', pass);
    return pass;
  }
}

interface Outcome {
  readonly source: string;
  readonly target: string;
  readonly error: string;
  readonly counts: { readonly forth: number; readonly back: number };
  readonly descriptors: number;
  readonly boundaries: { readonly forth: readonly number[]; readonly back: readonly number[] };
}

/** Where the records of a whole stream begin, and where it ends. */
function boundaries(parts: readonly Buffer[], start: number): number[] {
  const stream = Buffer.concat(parts);
  const all: number[] = [];
  let at = start;
  // The length is the second word of a record's header.
  for (; at + HEADER_SIZE <= stream.length; at += HEADER_SIZE + stream.readUInt32LE(at + 4)) all.push(at);
  return [...all, at];
}

let count = 0;

async function migrate(harm: Harm | undefined, passing: Passing = 'bytes'): Promise<Outcome> {
  const name = join(scratch, String(++count));
  const running: RunningVmm[] = [];
  const clients: QmpClient[] = [];
  const proxy = new Proxy(`${name}.proxy`, `${name}.migration`, harm, passing);
  try {
    running.push(await startVmm({ ...COMMON, qmp: [`${name}.source`] }));
    running.push(await startVmm({ ...COMMON, qmp: [`${name}.target`], incoming: 'defer' }));
    const [source, target] = [await QmpClient.connect(`${name}.source`), await QmpClient.connect(`${name}.target`)];
    clients.push(source, target);
    for (const client of clients) await client.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events',
      state: true }] });
    await target.execute('migrate-incoming', { 'uri': `unix:${name}.migration`, 'exit-on-error': false });
    await source.execute('migrate-set-parameters', { 'max-bandwidth': 0 });
    await source.execute('migrate', { uri: `unix:${name}.proxy` });
    await Promise.all([source.status(['completed', 'failed']), target.status(['completed', 'failed'])]);
    // The machine is started, or not, before the status is over on one side and after it on the other.
    const status = async (client: QmpClient): Promise<string> => {
      for (;;) {
        const { status: state } = await client.execute('query-status');
        if (state !== 'finish-migrate') return state;
      }
    };
    const error = (await source.execute('query-migrate'))['error-desc'] ?? '';
    return {
      source: await status(source), target: await status(target), error, counts: { ...proxy.counts }, descriptors: proxy.descriptors,
      boundaries: { forth: boundaries(proxy.seen.forth, PREAMBLE_SIZE), back: boundaries(proxy.seen.back, 0) },
    };
  } finally {
    for (const client of clients) client.close();
    for (const vmm of running) vmm.shutdown();
    await Promise.all(running.map(({ ended }) => ended));
    proxy.close();
  }
}

/** Positions that matter in a stream: around every boundary of records, between header and payload, and some of the rest. */
function positions(size: number, starts: readonly number[]): number[] {
  const all = new Set<number>([0]);
  for (const start of starts) for (const at of [start - 1, start, start + 1, start + 9, start + HEADER_SIZE]) all.add(at);
  for (let at = 0; at < size; at += Math.ceil(size / 10)) all.add(at);
  return [...all].filter((at) => at >= 0 && at < size).sort((a, b) => a - b);
}

describe('a migration stream', { timeout: 80_000 }, () => {
  it('that is cut or changed on its way there leaves the machine where it was', async () => {
    const { counts, boundaries: starts, source, target } = await migrate(undefined);
    assert.deepEqual([starts.forth.at(-1), starts.forth.length > 6], [counts.forth, true]);
    assert.deepEqual([source, target], ['postmigrate', 'running']);
    for (const kind of ['cut', 'change'] as const) {
      for (const at of positions(counts.forth, starts.forth)) {
        const outcome = await migrate({ direction: 'forth', kind, at });
        assert.deepEqual([outcome.source, outcome.target], ['running', 'inmigrate'],
          `${kind} at ${at} of ${counts.forth}: ${outcome.error}`);
      }
    }
  });

  it('whose answers are cut or changed leaves one machine running', async () => {
    const { counts, boundaries: starts } = await migrate(undefined);
    for (const kind of ['cut', 'change'] as const) {
      for (const at of positions(counts.back, starts.back)) {
        const { source, target, error } = await migrate({ direction: 'back', kind, at });
        const runs = [source, target].filter((state) => state === 'running').length;
        assert.equal(runs, 1, `${kind} at ${at} of ${counts.back}: ${source}, ${target}: ${error}`);
      }
    }
  });

  it('that is lost in both directions at once never leaves two, and says where it is not known who has the machine', async () => {
    const { counts, boundaries: starts } = await migrate(undefined);
    for (const at of positions(counts.forth, starts.forth)) {
      const { source, target, error } = await migrate({ direction: 'forth', kind: 'cut both', at });
      const runs = [source, target].filter((state) => state === 'running').length;
      if (runs === 0) assert.match(error, /may run on the destination/, `at ${at}`);
      else assert.equal(runs, 1, `at ${at}: ${source}, ${target}: ${error}`);
    }
  });

  it('between two sides that share a token always leaves exactly one machine running, whatever is lost', async () => {
    const whole = await migrate(undefined, 'descriptors');
    assert.deepEqual([whole.source, whole.target, whole.descriptors], ['postmigrate', 'running', 1]);
    // The first answer is `token`.
    assert.equal(whole.boundaries.back.length, (await migrate(undefined)).boundaries.back.length + 1);
    for (const [direction, kind] of [['forth', 'cut both'], ['back', 'cut both'], ['back', 'cut'], ['back', 'change']] as const) {
      for (const at of positions(whole.counts[direction], whole.boundaries[direction])) {
        const { source, target, error } = await migrate({ direction, kind, at }, 'descriptors');
        const what = `${direction}, ${kind} at ${at} of ${whole.counts[direction]}: ${source}, ${target}: ${error}`;
        assert.ok(['running inmigrate', 'postmigrate running'].includes(`${source} ${target}`), what);
      }
    }
  });

  it('goes through a socket that a client has passed to a destination that has inherited the other end, and no other', async () => {
    const [here, there] = socketPair();
    const paths = ['a', 'b', 'c'].map((name) => join(scratch, `fd.${name}`)) as [string, string, string];
    const running = await Promise.all(paths.map((path, n) => startVmm({ ...COMMON, qmp: [path], ...(n > 0 ? { incoming: 'defer' } : {}) })));
    const clients = await Promise.all(paths.map((path) => QmpClient.connect(path))) as [QmpClient, QmpClient, QmpClient];
    const [source, target, deceived] = clients;
    const later = socketPair();
    try {
      for (const client of clients) await client.execute('migrate-set-capabilities',
        { capabilities: [{ capability: 'events', state: true }] });
      for (const number of [12345, 0, later[0].fd]) {
        await assert.rejects(source.execute('migrate', { uri: `fd:${number}` }), /File descriptor named '\d+' has not been found/);
      }
      assert.equal((await source.execute('query-migrate')).status, 'failed');
      await assert.rejects(deceived.execute('migrate-incoming', { uri: `fd:${later[0].fd}` }), /has not been found/);
      // By number only what comes in, as in QEMU.
      await assert.rejects(source.execute('migrate', { uri: `fd:${here.fd}` }), /has not been found/);
      await target.execute('migrate-incoming', { uri: `fd:${there.detach()}` });
      await giveDescriptor(paths[0], 'here', here.fd);
      here.close();
      const after = source.events.length;
      await source.execute('migrate', { uri: 'fd:here' });
      await source.status(['completed'], after);
      await target.status(['completed']);
      assert.equal((await target.execute('query-status')).status, 'running');
    } finally {
      for (const fd of [here, ...later]) fd.close();
      for (const client of clients) client.close();
      for (const vmm of running) vmm.shutdown();
      await Promise.all(running.map(({ ended }) => ended));
    }
  });

  it('ends where the destination says that it has started what was not given to it, or what it has not taken', async () => {
    for (const early of [true, false]) {
      const name = join(scratch, `liar.${early}`);
      let descriptors: readonly Fd[] = [];
      const liar = createServer({ pauseOnConnect: true }, (socket) => void lie(socket));
      const lie = async (socket: Socket): Promise<void> => {
        const channel = new Channel(takeSocket(socket) ?? assert.fail());
        const [reader, answer] = [new StreamReader(channel), new StreamWriter(channel, () => undefined)];
        descriptors = await reader.preamble();
        await answer.record('token');
        const seen = async (wanted: string): Promise<void> => { while ((await reader.next()).name !== wanted); };
        await seen('end');
        await answer.record('ready');
        if (!early) await seen('commit');
        await answer.record('started');
        await reader.next().catch(() => undefined);
        channel.shutdown();
      };
      liar.listen({ path: name });
      const vmm = await startVmm({ ...COMMON, qmp: [`${name}.qmp`], breaks: early ? ['commit'] : [] });
      const source = await QmpClient.connect(`${name}.qmp`);
      try {
        await source.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
        await source.execute('migrate', { uri: `unix:${name}` });
        if (early) {
          await source.event(({ event }) => event === 'X_MDEVSIM_BREAK');
          while (descriptors.length === 0) await sleep(1);
          await sleep(20);
          await source.execute('x-mdevsim-continue', {});
        }
        await source.status(['failed']);
        await source.event(({ event }) => event === 'RESUME');
        assert.match((await source.execute('query-migrate'))['error-desc'] ?? '',
          early ? /Unexpected record started/ : /stays here: .*has not started what it says/);
      } finally {
        liar.close();
        for (const fd of descriptors) fd.close();
        source.close();
        vmm.shutdown();
        await vmm.ended;
      }
    }
  });

  it('waits where the socket of somebody who was killed is in the way, and leaves other files alone', async () => {
    const paths = { migration: join(scratch, 'stale.migration'), qmp: join(scratch, 'stale.qmp'), file: join(scratch, 'a file') };
    // A server that does not close: its file stays.
    const dead = spawnSync(process.execPath, ['-e', `
      for (const path of process.argv.slice(1)) require('net').createServer().listen(path, () => { if (path.endsWith('qmp')) process.kill(process.pid, 'SIGKILL'); });
    `, paths.migration, paths.qmp]);
    assert.equal(dead.signal, 'SIGKILL');
    assert.ok(lstatSync(paths.migration).isSocket() && lstatSync(paths.qmp).isSocket());
    writeFileSync(paths.file, 'precious');
    const vmm = await startVmm({ ...COMMON, qmp: [paths.qmp], incoming: `unix:${paths.migration}` });
    try {
      await assert.rejects(startVmm({ ...COMMON, qmp: [paths.file] }), /Failed to bind socket to .*a file: Address already in use/);
      assert.equal(readFileSync(paths.file, 'utf8'), 'precious');
    } finally {
      vmm.shutdown();
      await vmm.ended;
    }
    assert.deepEqual([paths.migration, paths.qmp].filter((path) => existsSync(path)), []);
  });

  it('refuses a header of a type or a length that it does not know, and a record that comes twice', () => {
    const payload = Buffer.from('payload');
    const [sender, receiver] = [new StreamChecksum(), new StreamChecksum()];
    const header = sender.encodeHeader('end', [payload]);
    const decoded = receiver.decodeHeader(header);
    assert.deepEqual([decoded.name, decoded.length], ['end', payload.length]);
    receiver.check(decoded, payload);
    assert.throws(() => receiver.check(receiver.decodeHeader(header), payload), StreamError);
    header[0] = 99;
    assert.throws(() => new StreamChecksum().decodeHeader(header), /damaged/);
    assert.throws(() => sender.encodeHeader('ram', [new Uint8Array(5 << 20)]), RangeError);
  });

  it('goes to addresses that QEMU knows, and to no others', () => {
    assert.deepEqual(parseUri('unix:/a:b'), { type: 'unix', path: '/a:b' });
    assert.deepEqual(parseUri('tcp:host:1'), { type: 'inet', host: 'host', port: '1' });
    assert.deepEqual(parseUri('tcp:[::1]:0'), { type: 'inet', host: '::1', port: '0' });
    assert.deepEqual(parseUri('tcp:host:1,to=5,ipv4,ipv6=off,keep-alive=on,ipv4=off,other'), {
      'type': 'inet', 'host': 'host', 'port': '1', 'to': 5, 'ipv4': true, 'ipv6': false, 'keep-alive': true,
    });
    assert.deepEqual(parseUri('fd:7'), { type: 'fd', name: '7' });
    for (const uri of ['', 'unix:', 'tcp:', 'tcp:a', 'tcp:[::1', 'fd:', 'exec:true',
      'rdma:a:1']) assert.throws(() => parseUri(uri), { name: 'QmpError' }, uri);
  });
});
