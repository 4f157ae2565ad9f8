/** One script to stock QEMU and to our VMM: the same replies and events, but for times, versions and what the table names. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { takeSocket } from '../../src/sys/socket.js';
import { qemuMajor, whyNoQemu } from '../e2e/requirements.js';
import { assertSame, differences, story, withBoth, withPairs } from './qmp-both.js';
import { BROKEN_SCRIPT, BYTES_SCRIPT } from './qmp-bytes.js';
import type { Piece } from './qmp-peer.js';
import {
  ADDRESS_SCRIPT, CAPABILITY_SCRIPT, COMMAND_SCRIPT, DESCRIPTOR_SCRIPT, GREETING_SCRIPT, OPTION_SCRIPT, OUT_OF_BAND_SCRIPT, PARAMETER_SCRIPT, PROTOCOL_SCRIPT,
} from './qmp-script.js';

const skip = whyNoQemu();

/** Where no migration gets to, with nobody listening at port 1. */
const NOWHERE = [
  ...['', ',ipv4=on', ',ipv6', ',ipv4=off', ',ipv4=off,ipv6=off', ',to=9', ',keep-alive=on'].map((options) => `tcp:127.0.0.1:1${options}`),
  'tcp::1', 'tcp:localhost:1', 'tcp:[::1]:1', 'tcp:[::1]:1,ipv4', 'tcp:[127.0.0.1]:1', 'tcp:0x7f.1:1', 'tcp: 127.0.0.1:1', 'tcp:127.0.0.1:x',
  'tcp:127.0.0.1:1x', 'tcp:127.0.0.1:2147483649', 'tcp:127.0.0.1:65537', `unix:/${'x'.repeat(200)}`,
  // 11 has another parser.
  ...(qemuMajor() < 11 ? ['tcp:127.0.0.1:1,foo', `tcp:127.0.0.1:${'1'.repeat(33)}`] : []),
];

/** What comes after `migrate-incoming tcp:`, for a port that somebody has. */
const interfacesWith = (busy: number): string[] => [
  ':0', ':0,ipv4', ':0,ipv6', ':0,ipv4=on,ipv6=on', ':0,ipv4=off,ipv6=off', 'localhost:0', '127.0.0.1:0,ipv6=off', '127.0.0.1:0,ipv6', '[::1]:0',
  '[::1]:0,ipv4=on', '[::1]:0,ipv6', '127.0.0.1:0,mptcp', `127.0.0.1:${busy}`, `127.0.0.1:${busy},to=${busy + 20}`, `[::1]:${busy}`,
  '127.0.0.1:0,to=70000', ...(qemuMajor() < 11 ? [`127.0.0.1:${busy},to=1`] : []),
];

describe('QMP as stock QEMU speaks it', { timeout: 110_000, ...(skip === undefined ? {} : { skip }) }, () => {
  it('greets, refuses garbage and answers commands and mistakes alike', () => withBoth(['-machine', 'none'], [], async (both) => {
    assert.deepEqual(await both.ours.greeting(), await both.qemu.greeting());
    const found = await differences(both, [...GREETING_SCRIPT, ...PROTOCOL_SCRIPT, ...COMMAND_SCRIPT]);
    assert.equal(found.join('\n'), '');
  }));

  it('reads and writes every byte, escape and number alike', () => withBoth(['-machine', 'none'], [], async (both) => {
    for (const peer of [both.ours, both.qemu]) {
      await peer.greeting();
      await peer.command('qmp_capabilities');
    }
    const script = [...BYTES_SCRIPT, ...(qemuMajor() < 11 ? BROKEN_SCRIPT : [])];
    assert.equal((await differences(both, script)).join('\n'), '');
  }));

  it('negotiates out-of-band commands and takes them alike', () => withBoth(['-machine', 'none'], [], async (both) => {
    for (const peer of [both.ours, both.qemu]) await peer.greeting();
    assert.equal((await differences(both, OUT_OF_BAND_SCRIPT)).join('\n'), '');
  }));

  it('takes capabilities alike, each with each other one', () => withBoth(['-machine', 'none'], [], async (both) => {
    for (const peer of [both.ours, both.qemu]) {
      await peer.greeting();
      await peer.command('qmp_capabilities');
    }
    // Of QEMU 11 one is gone, and another wants a third.
    const script = qemuMajor() < 11 ? CAPABILITY_SCRIPT : CAPABILITY_SCRIPT.filter((line) => !/zero-blocks|x-colo/.test(line));
    assert.equal((await differences(both, script)).join('\n'), '');
  }));

  it('takes parameters and addresses alike, to the ends of their ranges', () =>
    withBoth(['-machine', 'none'], ['--incoming', 'defer'], async (both) => {
      for (const peer of [both.ours, both.qemu]) {
        await peer.greeting();
        await peer.command('qmp_capabilities');
      }
      const script = [...PARAMETER_SCRIPT, ...ADDRESS_SCRIPT, ...(qemuMajor() < 11 ? OPTION_SCRIPT : [])];
      assert.equal((await differences(both, script)).join('\n'), '');
    }));

  it('takes descriptors alike, keeps them from one client to the next, and loses none', () =>
    withBoth(['-machine', 'none'], [], async ({ ours, qemu }) => {
      const file = openSync('/dev/null', 'r');
      const told = [];
      for (const peer of [ours, qemu]) {
        await peer.greeting();
        await peer.command('qmp_capabilities');
        const before = await peer.settledDescriptors();
        const heard: unknown[] = [];
        const piece = (text: string, count: number): Piece =>
          (count === 0 ? text : { text, descriptors: new Array<number>(count).fill(file) });
        for (const [text, count, rest = '', more = 0] of DESCRIPTOR_SCRIPT) {
          heard.push([text, count, rest, more, await peer.say(piece(text, count), piece(rest, more)), peer.descriptors - before]);
        }
        await peer.say(piece('{"execute":"query-status"}', 1));
        await peer.reconnect(1);
        heard.push(peer.descriptors - before, await peer.command('closefd', { fdname: 'second' }), peer.descriptors - before);
        told.push(heard);
      }
      closeSync(file);
      assert.deepEqual(told[0], told[1]);
    }));

  it('tells the same story of a migration that completes, and says the same about it', () => withPairs(async (pairs) => {
    const told = [];
    for (const { source, target, uri } of pairs) {
      const replies = [await target.command('query-migrate'), await target.command('query-status'),
        await target.command('migrate', { uri })];
      replies.push(await target.command('migrate-incoming', { uri }), await target.command('migrate-incoming', { uri: 'x' }));
      await source.command('migrate-set-parameters', { 'max-bandwidth': 0 });
      source.drain();
      const [setup, reply] = await source.command('migrate', { uri });
      await source.reached(/completed/);
      await target.reached(/completed/);
      source.drain();
      target.drain();
      for (const ask of ['query-migrate', 'query-status', 'migrate_cancel', 'stop',
        'query-status']) replies.push(await source.command(ask));
      replies.push(await source.command('migrate', { uri }), await source.command('migrate-continue', { state: 'device' }));
      replies.push(await target.command('query-migrate'), await target.command('query-status'), await source.command('cont'),
        await source.command('query-status'));
      told.push({ setup, reply, replies, source: story(source), target: story(target) });
    }
    assertSame(told[1], told[0]);
  }));

  it('tells the same story of one over a socket that its client has connected and passed', () => withPairs(async (pairs) => {
    const told = [];
    for (const { source, target, uri } of pairs) {
      const connected = createConnection({ path: uri.slice('unix:'.length) });
      await once(connected, 'connect');
      const socket = takeSocket(connected);
      assert.ok(socket);
      await source.command('migrate-set-parameters', { 'max-bandwidth': 0 });
      const before = await source.settledDescriptors();
      const getfd = { text: '{"execute":"getfd","arguments":{"fdname":"mig"}}', descriptors: [socket.fd] };
      const replies = [await source.say(getfd)];
      socket.close();
      await source.command('migrate', { uri: 'fd:mig' });
      await source.reached(/completed/);
      await target.reached(/completed/);
      source.drain();
      replies.push(await source.command('query-status'), await target.command('query-status'));
      replies.push(await source.command('closefd', { fdname: 'mig' }));
      told.push({ replies, source: story(source), target: story(target), left: source.descriptors - before });
    }
    assertSame(told[1], told[0]);
  }));

  it('tells the same story of one that waits before switchover and is cancelled there', () => withPairs(async (pairs) => {
    const told = [];
    for (const { source, target, uri } of pairs) {
      await source.command('migrate-set-capabilities', { capabilities: [{ capability: 'pause-before-switchover',
        state: true }] });
      await source.command('migrate-set-parameters', { 'max-bandwidth': 0 });
      await source.command('migrate', { uri });
      await source.reached(/pre-switchover/);
      source.drain();
      const replies = [];
      for (const ask of ['query-migrate', 'query-status', 'migrate', 'device_del']) replies.push(await source.command(ask,
        ask === 'migrate' ? { uri } : ask === 'device_del' ? { id: 'x' } : undefined));
      replies.push(await source.command('migrate-continue', { state: 'active' }));
      replies.push(await source.command('migrate-set-capabilities', { capabilities: [] }));
      await source.command('migrate_cancel');
      await source.reached(/cancelled/);
      source.drain();
      for (const ask of ['query-migrate', 'query-status', 'migrate_cancel']) replies.push(await source.command(ask));
      told.push({ replies, source: story(source), exit: await target.exited });
    }
    assertSame(told[1], told[0]);
  }));

  it('tells the same story of a stopped machine, and of nobody there', () => withPairs(async (pairs) => {
    const told = [];
    for (const { source, target, uri } of pairs) {
      const replies = [await source.command('stop')];
      await source.command('migrate', { uri: 'unix:/nonexistent/sock' });
      await source.reached(/failed/);
      source.drain();
      replies.push(await source.command('query-migrate'));
      for (const nowhere of NOWHERE) {
        const after = source.events.length;
        await source.command('migrate', { uri: nowhere });
        await source.reached(/failed/, after);
        source.drain();
        replies.push(await source.command('query-migrate'));
      }
      await source.command('migrate-set-parameters', { 'max-bandwidth': 0 });
      await source.command('migrate', { uri });
      await source.reached(/completed/);
      await target.reached(/completed/);
      source.drain();
      target.drain();
      for (const peer of [source, target]) for (const ask of ['query-migrate', 'query-status', 'cont',
        'query-status']) replies.push(await peer.command(ask));
      told.push({ replies, source: story(source), target: story(target) });
    }
    assertSame(told[1], told[0]);
  }));

  it('says the same when it reads garbage, and ends with the same status', () => withPairs(async (pairs) => {
    const told = [];
    for (const { target, uri } of pairs) {
      const socket = createConnection({ path: uri.slice('unix:'.length) });
      socket.on('error', () => undefined);
      socket.write('This is not a migration stream, but it is long enough for one to see that.');
      const status = await target.exited;
      socket.destroy();
      const lines = target.output.split('\n').map((line) =>
        line.replace(/^(mdevsim vmm|qemu-system-x86_64): /, '')).filter((line) => !line.startsWith('ready'));
      told.push({ status, lines, events: target.events });
    }
    assertSame(told[1], told[0]);
  }));

  it('listens where stock QEMU does, and says where', async () => {
    const busy = createServer().listen(0);
    try {
      await once(busy, 'listening');
      for (const address of interfacesWith((busy.address() as AddressInfo).port)) {
        await withBoth(['-machine', 'none'], ['--incoming', 'defer'], async (both) => {
          const told = [];
          for (const peer of [both.qemu, both.ours]) {
            await peer.greeting();
            await peer.command('qmp_capabilities');
            told.push([await peer.command('migrate-incoming', { uri: `tcp:${address}` }), await peer.command('query-migrate')]);
          }
          assertSame([address, told[1]], [address, told[0]]);
        });
      }
    } finally {
      busy.close();
    }
  });
});
