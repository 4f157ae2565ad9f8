/** The moment at which the machine changes hands: who has it where the destination dies around `commit`. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import type { Vmm } from '../../src/index.js';
import { Bench, DEVICE, quickly, running, SOURCE, TARGET } from './pair.js';

/** A port that nobody has. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** What can pass the token, and what can't. */
type Family = 'unix' | 'tcp';
const uriFor = async (bench: Bench, family: Family): Promise<string> =>
  (family === 'unix' ? `unix:${bench.scratch}/handover` : `tcp:127.0.0.1:${await freePort()}`);

/** A migration whose source has sent `commit` and waits for the answer; the destination has it, and is held before it acts on it. */
async function handedOver(bench: Bench, family: Family): Promise<{ readonly source: Vmm; readonly target: Vmm }> {
  const uri = await uriFor(bench, family);
  const target = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], args: ['--incoming', uri, '--break', 'load_vm_start'] });
  const source = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`] });
  await quickly(source);
  await source.qmp.execute('migrate', { uri });
  await target.held('load_vm_start');
  return { source, target };
}

describe('the handover of a migration', { timeout: 60_000 }, () => {
  for (const family of ['unix', 'tcp'] as const) {
    it(`leaves the machine running here where the destination has died before \`commit\` (${family})`, () => Bench.with({},
      async (bench) => {
      const uri = await uriFor(bench, family);
      const target = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], args: ['--incoming', uri] });
      const source = await bench.vmm({ devices: [`${SOURCE},${DEVICE}`], args: ['--break', 'commit'] });
      await quickly(source);
      await source.qmp.execute('migrate', { uri });
      await source.held('commit');
      await target.kill();
      await source.qmp.execute('x-mdevsim-continue', {});
      await source.qmp.event(({ event }) => event === 'RESUME', { what: 'the machine runs again' });
      const { status, 'error-desc': why } = await source.qmp.execute('query-migrate');
      assert.equal(status, 'failed');
      assert.doesNotMatch(why ?? '', /may run on the destination/);
      assert.equal(await running(source), 'running');
      assert.equal(bench.source.migrationState, 'RUNNING');
    }));
  }

  it('takes it back where the destination has died after `commit` and before it has acted on it', () => Bench.with({},
    async (bench) => {
    const { source, target } = await handedOver(bench, 'unix');
    await target.kill();
    await source.qmp.event(({ event }) => event === 'RESUME', { what: 'the machine runs again' });
    const { status, 'error-desc': why } = await source.qmp.execute('query-migrate');
    assert.equal(status, 'failed');
    assert.match(why ?? '', /lost in the handover, the virtual machine stays here/);
    assert.equal(bench.source.migrationState, 'RUNNING');
  }));

  it('leaves it stopped here in that case where the connection could not pass the token: `cont` decides', () => Bench.with({},
    async (bench) => {
    const { source, target } = await handedOver(bench, 'tcp');
    await target.kill();
    await source.qmp.status(['failed']);
    assert.match((await source.qmp.execute('query-migrate'))['error-desc'] ?? '', /may run on the destination/);
    await source.qmp.execute('cont');
    assert.equal(await running(source), 'running');
    assert.equal(bench.source.migrationState, 'RUNNING');
  }));

  it('is taken back by a cancel where the destination has got `commit` and hangs; it does not start any more', () => Bench.with({},
    async (bench) => {
    const { source, target } = await handedOver(bench, 'unix');
    await source.qmp.execute('migrate_cancel');
    await source.qmp.status(['cancelled']);
    assert.equal(await running(source), 'running');
    assert.equal(bench.source.migrationState, 'RUNNING');
    await target.qmp.execute('x-mdevsim-continue', {});
    assert.equal(await target.ended, 1);
    assert.match(target.output, /The source has taken the machine back/);
  }));

  it('is left stopped by such a cancel where there is no token', () => Bench.with({}, async (bench) => {
    const { source, target } = await handedOver(bench, 'tcp');
    await source.qmp.execute('migrate_cancel');
    await source.qmp.status(['failed']);
    assert.equal(await running(source), 'paused');
    await target.qmp.execute('x-mdevsim-continue', {});
    await target.qmp.status(['completed']);
    assert.equal(await running(target), 'running');
  }));

  it('stays with the destination where the source is told to quit after `commit`', () => Bench.with({}, async (bench) => {
    const { source, target } = await handedOver(bench, 'unix');
    assert.equal(await source.end(), 0);
    await target.qmp.execute('x-mdevsim-continue', {});
    await target.qmp.status(['completed']);
    assert.equal(await running(target), 'running');
  }));
});
