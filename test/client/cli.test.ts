/** `mdevsim vmm` and `mdevsim qmp` as a user calls them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDevice, parsePrepareEvents, parseProtocol, parseQmp, parseRam, parseRfcOrder, parseStep } from '../../src/cli/vmm-options.js';
import { CliError } from '../../src/cli/errors.js';
import { parseArguments } from '../../src/cli/qmp.js';
import { asRoot, mdevsim, Server } from '../cli/mdevsim.js';
import { Vmm } from '../../src/index.js';
import { MDEVSIM } from '../cli/mdevsim.js';

/** One byte more than a socket's path may have. */
const LONG = `/tmp/${'x'.repeat(103)}`;
const UUID = '11111111-1111-4111-8111-111111111111';

describe('options of mdevsim vmm', () => {
  it('--ram takes sizes of whole pages', () => {
    assert.deepEqual(['64M', '64', '4K', '1g', '4G'].map(parseRam), [64 << 20, 64 << 20, 4096, 2 ** 30, 2 ** 32]);
    assert.throws(() => parseRam('12345'), /at most 4G, not '12345', which is MiB/);
    assert.throws(() => parseRam('1K'), /whole pages/);
    for (const text of ['', '0', '-1', '64MB', '1K', '5G', '1.5M', 'M']) assert.throws(() => parseRam(text), /--ram must be/,
      text);
  });

  it('--device takes a UUID or a path, and properties', () => {
    const plain = { id: undefined, bus: undefined, addr: undefined, enableMigration: undefined, migrationEvents: false, iommufd: false, blocker: true,
      deviceDirtyTracking: undefined, preCopyDirtyTracking: undefined, multifdTransfer: undefined };
    assert.deepEqual(parseDevice(UUID.toUpperCase()), { ...plain, sysfsdev: `/sys/bus/mdev/devices/${UUID}` });
    const all = `/a/b,id=vf0,bus=pcie.0,addr=05.0,enable-migration=on,migration-events=on,iommufd=on,blocker=off,x-device-dirty-page-tracking=off,x-pre-copy-dirty-page-tracking=auto,x-migration-multifd-transfer=on`;
    assert.deepEqual(parseDevice(all), {
      sysfsdev: '/a/b', id: 'vf0', bus: 'pcie.0', addr: '05.0', enableMigration: 'on', migrationEvents: true, iommufd: true, blocker: false,
        deviceDirtyTracking: 'off', preCopyDirtyTracking: 'auto', multifdTransfer: 'on',
    });
    for (const text of ['', 'id=a', `${UUID},id`, `${UUID},nope=1`, `${UUID},enable-migration=maybe`, `${UUID},iommufd=1`]) {
      assert.throws(() => parseDevice(text), CliError, text);
    }
  });

  it('--qmp, --break and --prepare-events take what they name', () => {
    assert.equal(parseQmp('unix:/a/b'), '/a/b');
    assert.equal(parseQmp('unix:/a/b,server=on,wait=off'), '/a/b');
    assert.equal(parseStep('save_setup'), 'save_setup');
    assert.equal(parsePrepareEvents('merged'), 'merged');
    for (const bad of [() => parseQmp('/a'), () => parseQmp('unix:'), () => parseStep('nope'),
      () => parsePrepareEvents('some')]) assert.throws(bad, CliError);
  });

  it('--protocol and --rfc-order take what they name', () => {
    assert.deepEqual([parseProtocol('rfc-v3'), parseRfcOrder('ram-first')], ['rfc-v3', 'ram-first']);
    for (const bad of [() => parseProtocol('v1'), () => parseRfcOrder('first')]) assert.throws(bad, CliError);
  });

  it('arguments of mdevsim qmp are JSON or words', () => {
    assert.equal(parseArguments([]), undefined);
    assert.deepEqual(parseArguments(['{"a": [1]}']), { a: [1] });
    assert.deepEqual(parseArguments(['uri=unix:/a=b', 'n=5', 'yes=true', 'text=05x']), { uri: 'unix:/a=b', n: 5, yes: true,
      text: '05x' });
    assert.deepEqual(parseArguments(['capabilities=[{"capability":"events","state":true}]', 'a={"b": null}', 'c=x[']), {
      capabilities: [{ capability: 'events', state: true }], a: { b: null }, c: 'x[',
    });
    for (const bad of [['{'], ['a'], ['=1'], ['a=[1'], ['a={b}']]) assert.throws(() => parseArguments(bad), CliError);
  });
});

describe('mdevsim vmm', { timeout: 80_000, ...asRoot }, () => {
  it('says in one sentence why it does not start', () => {
    for (const [args, status, text] of [
      [['--device', `${UUID}`], 1, `mdevsim: vfio /sys/bus/mdev/devices/${UUID}: no such host device: No such file or directory`],
      [['--lab', '/nonexistent'], 1, 'mdevsim: /nonexistent is not a mounted lab'],
      [['--ram', '5'.repeat(20)], 2, /--ram must be a size such as 64M/],
      [['--protocol', 'v1'], 2, /--protocol is one of v2, rfc, rfc-v2, rfc-v3, not 'v1'/],
      [['--rfc-order', 'ram-first'], 2, /--rfc-order is for the RFC's protocols, not for v2/],
      [['--qmp', 'unix:/nonexistent/qmp'], 1, 'mdevsim: Failed to bind socket to /nonexistent/qmp: No such file or directory'],
      [['--qmp', `unix:${LONG}`], 1, `mdevsim: UNIX socket path '${LONG}' is too long`],
      [['--incoming', `unix:${LONG}`], 1, `mdevsim: UNIX socket path '${LONG}' is too long`],
      [['--incoming', 'bogus:1'], 1, 'mdevsim: unknown migration protocol: bogus:1'],
      [['--incoming', 'unix:/nonexistent/sock'], 1, 'mdevsim: Failed to bind socket to /nonexistent/sock: No such file or directory'],
      [['--break', 'nope'], 2, /--break is one of save_prepare/],
    ] as const) {
      const result = mdevsim(['vmm', ...args]);
      assert.equal(result.status, status, `${args.join(' ')}: ${result.stderr}`);
      if (typeof text === 'string') assert.equal(result.stderr.trim(), text);
      else assert.match(result.stderr, text);
    }
  });

  it('without slots says what is missing, and a shell speaks to one that runs', async () => {
    await using lab = await Server.start(['--mdev', `mtty-2,uuid=${UUID}`]);
    const result = mdevsim(['vmm', '--lab', lab.dir, '--slots', '0', '--device', UUID]);
    assert.equal(result.status, 1);
    assert.match(result.stderr, /Too many open files \(no descriptor slots left: .*--slots\)/);

    await using vmm = await Vmm.start({ lab: lab.dir, devices: [`${UUID},id=vf0`], command: MDEVSIM, args: ['--name', 'me'] });
    assert.equal(mdevsim(['qmp', vmm.socket, 'query-name']).stdout, '{"name":"me"}\n');
    assert.equal(mdevsim(['qmp', '--until', '"status":"running"', vmm.socket, 'query-status']).status, 0);
    const wrong = mdevsim(['qmp', vmm.socket, 'migrate', 'uri=bogus:1']);
    assert.deepEqual([wrong.status, wrong.stderr], [1, 'mdevsim: unknown migration protocol: bogus:1\n']);
    assert.match(mdevsim(['qmp', '/nonexistent', 'query-name']).stderr, /no monitor answers at \/nonexistent/);
    assert.match(mdevsim(['qmp', LONG, 'query-name']).stderr, /too long/);
    assert.match(mdevsim(['qmp', '--until', '(', vmm.socket, 'query-name']).stderr, /no regular expression/);
    vmm.process.kill('SIGSTOP');
    const stopped = mdevsim(['qmp', '--timeout', '1', vmm.socket, 'query-name']);
    vmm.process.kill('SIGCONT');
    assert.deepEqual([stopped.status, stopped.stderr], [1, 'mdevsim: no answer within 1 s\n']);
    vmm.process.kill('SIGTERM');
    assert.equal(await vmm.ended, 0);
  });
});
