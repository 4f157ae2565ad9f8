/** Ways to start `mdevsim vmm`: with README's few lines, with options that QMP shows, with sockets that it inherits. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { QmpClient } from '../../src/client/qmp/client.js';
import { socketPair } from '../../src/sys/socket.js';
import { MDEVSIM } from '../cli/mdevsim.js';
import { Child, ROOT } from '../e2e/child.js';
import { within } from '../e2e/deadline.js';
import { connectMonitor } from '../e2e/monitor.js';
import { giveDescriptor } from './descriptors.js';
import { Bench, quickly, running, SOURCE, TARGET } from './pair.js';

/** README's TypeScript with that word in it. */
function readmeProgram(word: string): string {
  const blocks = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, block]) => block ?? '');
  const block = blocks.find((one) => one.includes(word));
  assert.ok(block, `README has no program with ${word}`);
  return block.replace("'mdevsim'", `'${join(ROOT, 'src/index.js')}'`);
}

/** Runs it; resolves with what it printed. */
async function play(bench: Bench, word: string, more = ''): Promise<string> {
  const file = join(bench.scratch, 'program.mts');
  writeFileSync(file, readmeProgram(word) + more);
  const child = new Child('README', [process.execPath, '--import', 'tsx', file]);
  try {
    assert.equal(await within(60, 'README to end', child.ended, () => child.output), 0, child.output);
    return child.output;
  } finally {
    child.kill();
  }
}

describe('starting mdevsim vmm', { timeout: 85_000 }, () => {
  it("README's program with two VMMs prints what it says", () => Bench.with({}, async (bench) => {
    const said = /\/\/ (\{ transferred.*)/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[1];
    assert.ok(said);
    assert.equal((await play(bench, 'Vmm.start')).trim(), said);
  }));

  it("README's program with a lab and a shell ends", () => Bench.with({}, async (bench) => {
    assert.equal(await play(bench, "lab.next('block'", 'console.log(status, stderr);'), '0 \n');
  }));

  it('--ram, --name and -S show', () => Bench.with({}, async (bench) => {
    const vmm = await bench.vmm({ devices: [`${SOURCE},id=vf0`], args: ['--ram', '8M', '--name', 'the name', '-S'] });
    assert.deepEqual(await vmm.qmp.executeAny('query-name'), { name: 'the name' });
    assert.equal(await running(vmm), 'prelaunch');
    assert.equal(bench.source.migrationState, 'RUNNING');
    await vmm.qmp.execute('cont');
    assert.equal(await running(vmm), 'running');
    const target = await bench.vmm({ devices: [`${TARGET},id=vf0`], incoming: true, args: ['--ram', '8M'] });
    await quickly(vmm);
    await vmm.qmp.execute('migrate', { uri: target.uri });
    assert.equal((await vmm.migrated()).ram?.['total'], 8 << 20);

    // Another size is another machine.
    await vmm.end();
    await bench.recreate(SOURCE);
    const uri = `unix:${join(bench.scratch, 'elsewhere')}`;
    const other = await bench.vmm({ devices: [`${SOURCE},id=vf0`], incoming: uri, args: ['--ram', '4M'] });
    assert.equal(other.uri, uri);
    await quickly(target);
    const after = target.qmp.events.length;
    await target.qmp.execute('migrate', { uri: other.uri });
    await target.qmp.status(['failed'], after);
    assert.match((await target.qmp.execute('query-migrate'))['error-desc'] ?? '', /Size mismatch: mdevsim\.ram: 0x800000 != 0x400000/);
    assert.equal(await other.ended, 1);
    assert.equal(await running(target), 'running');
  }));

  it('fd: takes a socket that the destination has inherited, and one that a client has passed to the source', () => Bench.with({},
    async (bench) => {
    const [here, there] = socketPair();
    const children: ChildProcess[] = [];
    const start = (name: string, uuid: string, inherited: number | 'ignore', args: readonly string[]): Promise<QmpClient> => {
      const path = join(bench.scratch, name);
      const argv = [...MDEVSIM, 'vmm', '--lab', bench.lab.dir, '--device', `${uuid},id=vf0`, '--qmp', `unix:${path}`, ...args];
      const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe', inherited] });
      children.push(child);
      let output = '';
      child.stderr?.on('data', (data: Buffer) => { output += data.toString(); });
      return connectMonitor(path, { get running() { return child.exitCode === null; }, get output() { return output; } });
    };
    try {
      const [source, target] = await Promise.all([
        start('source', SOURCE, 'ignore', []), start('target', TARGET, there.fd, ['--incoming', 'fd:3']),
      ]);
      there.close();
      await giveDescriptor(join(bench.scratch, 'source'), 'connection', here.fd);
      here.close();
      await source.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
      await source.execute('migrate', { uri: 'fd:connection' });
      const { data } = await source.status(['completed', 'failed']);
      assert.equal(data['status'], 'completed');
      assert.equal((await target.execute('query-status')).status, 'running');
    } finally {
      for (const fd of [here, there]) fd.close();
      for (const child of children) child.kill('SIGKILL');
    }
  }));
});
