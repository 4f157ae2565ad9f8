/** What one may say in each state of a migration, what comes back then, and when the events do: stock QEMU's and ours. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { whyNoQemu } from '../e2e/requirements.js';
import { assertSame, same, story, withBoth, withPairs } from './qmp-both.js';
import type { Pair } from './qmp-both.js';
import type { Line, Peer } from './qmp-peer.js';

const skip = whyNoQemu();
/** Bytes a second: a machine of nothing but zeros takes its time. */
const SLOW = 512;
/** So does one that writes. */
const WRITES = ['--guest-load', 'pages=100,bytes=0'];
type Command = readonly [execute: string, args?: object];

async function sayAll(peer: Peer, commands: readonly Command[]): Promise<[string, Line[]][]> {
  const told: [string, Line[]][] = [];
  for (const [execute, args] of commands) {
    const lines = await peer.command(execute, args);
    // How many passes there are depends on the machine's speed.
    told.push([`${execute} ${JSON.stringify(args) ?? ''}`, lines.filter(({ event }) => event !== 'MIGRATION_PASS')]);
  }
  return told;
}

/** Everything that is refused or told while one runs or is waited for. */
const asks = (uri: string): readonly Command[] => [
  ['query-status'], ['query-migrate'], ['query-migrationthreads'], ['migrate', { uri }], ['migrate-start-postcopy'],
  ['migrate', { channels: [{
    'channel-type': 'main', 'addr': { transport: 'socket', type: 'unix', path: uri.slice('unix:'.length) },
  }] }],
  ['migrate', { uri, resume: true }], ['migrate', { uri: 'bogus' }], ['migrate-incoming', { uri }],
  ['migrate-set-capabilities', { capabilities: [{ capability: 'auto-converge', state: true }] }],
  ['migrate-set-capabilities', { capabilities: [] }], ['migrate-pause'], ['migrate-recover', { uri }],
  ['migrate-set-parameters', { 'downtime-limit': 300 }], ['migrate-set-parameters', { 'downtime-limit': 300.5 }],
  ['migrate-set-parameters', { 'multifd-channels': 4 }],
  ['migrate-continue', { state: 'pre-switchover' }], ['migrate-continue', { state: 'device' }],
  ['device_add', { driver: 'vfio-pci', sysfsdev: '/nonexistent' }], ['device_add', { driver: 'nope' }],
  ['device_del', { id: 'nope' }], ['system_reset'], ['stop'], ['query-status'], ['query-migrate'], ['cont'], ['query-status'],
];

type Told = readonly [string, Line[]][];

/** Both in turn; what they say is compared row by row, so that a difference can be read. */
async function compare(pairs: readonly Pair[], tell: (pair: Pair) => Promise<{ readonly rows: Told }>): Promise<void> {
  const told = [];
  for (const pair of pairs) told.push(await tell(pair));
  const [qemu, ours] = told;
  const found = (qemu?.rows ?? []).flatMap(([what, lines], index) => {
    const own = ours?.rows[index]?.[1] ?? [];
    return same(own, lines) ? [] : [`${what}\n  QEMU: ${JSON.stringify(lines)}\n  ours: ${JSON.stringify(own)}`];
  });
  assert.equal(found.join('\n'), '');
  assertSame({ ...ours, rows: [] }, { ...qemu, rows: [] });
}

/** The same where a migration could begin, and a device could be added. */
const idle = asks('unix:/nonexistent/x').filter(([name, args]) =>
  !/^(migrate .*("uri":"unix[^,]*}|channels)|device_add .*vfio)/.test(`${name} ${JSON.stringify(args)}`));
const capability = (name: string): object => ({ capabilities: [{ capability: name, state: true }] });

describe('QMP in each state, as stock QEMU speaks it', { timeout: 110_000, ...(skip === undefined ? {} : { skip }) }, () => {
  it('before and after one that was refused', () => withPairs((pairs) => compare(pairs, async ({ source, target }) => {
    const rows = [...await sayAll(source, idle), ...await sayAll(target, idle)];
    return { rows, source: story(source), target: story(target) };
  })));

  it('while it is active, and while it is cancelled', () => withPairs((pairs) => compare(pairs, async ({ source, target, uri }) => {
    await source.command('migrate-set-parameters', { 'max-bandwidth': SLOW });
    await source.command('migrate', { uri });
    await source.reached(/active/);
    source.drain();
    const rows = await sayAll(source, [['query-migrate'], ...asks(uri)]);
    await source.command('migrate_cancel');
    await source.reached(/cancelled/);
    source.drain();
    rows.push(...await sayAll(source, [['migrate_cancel'], ...idle]));
    return { rows, source: story(source), exit: await target.exited };
  }), WRITES));

  it('while it waits before switchover, and after it has gone on', () => withPairs((pairs) =>
    compare(pairs, async ({ source, target, uri }) => {
      await source.command('migrate-set-capabilities', capability('pause-before-switchover'));
      await source.command('migrate-set-parameters', { 'max-bandwidth': 0 });
      await source.command('migrate', { uri });
      await source.reached(/pre-switchover/);
      source.drain();
      const rows = await sayAll(source, asks(uri).filter(([name, args]) => !['stop', 'cont', 'system_reset'].includes(name)
        && JSON.stringify(args) !== '{"state":"pre-switchover"}'));
      await source.command('migrate-continue', { state: 'pre-switchover' });
      await source.reached(/completed/);
      await target.reached(/completed/);
      source.drain();
      target.drain();
      const quit: readonly Command[] = [['query-status'], ['query-migrate'], ['system_reset'], ['stop'], ['cont'], ['query-status']];
      rows.push(...await sayAll(source, quit), ...await sayAll(target, quit));
      return { rows, source: story(source), target: story(target) };
    })));

  it('ends alike when it is told to quit while a migration is active', () => withPairs((pairs) =>
    compare(pairs, async ({ source, target, uri }) => {
      await source.command('migrate-set-parameters', { 'max-bandwidth': SLOW });
      await source.command('migrate', { uri });
      await source.reached(/active/);
      source.drain();
      const last = await source.last('quit');
      const lines = last.filter(({ event }) => event !== 'MIGRATION_PASS');
      return { rows: [['quit', lines]], status: await source.exited, target: await target.exited };
    }), WRITES));

  it('ends alike when it is idle', () => withBoth(['-machine', 'none'], ['-S'], async ({ ours, qemu }) => {
    const told = [];
    for (const peer of [qemu, ours]) {
      await peer.greeting();
      await peer.command('qmp_capabilities');
      const lines = await sayAll(peer, [['query-status'], ['stop'], ['query-status'], ['cont'], ['query-status'], ['system_reset']]);
      told.push([lines, await peer.last('quit'), await peer.exited]);
    }
    assertSame(told[1], told[0]);
  }));
});
