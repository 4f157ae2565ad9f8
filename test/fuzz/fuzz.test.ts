/**
 * 100,000 wrong operations from one client (client.c), with a fixed seed: each gets an errno and nothing else changes.
 * After it the tree is what it was, nothing is left open, the server's memory stayed within bounds and it still answers.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setLogSink } from '../../src/trace/trace.js';
import type { TraceEvent, TraceSink } from '../../src/trace/trace.js';
import { descriptors, picture, restore, startRig } from './rig.js';
import type { Rig } from './rig.js';

/** Another seed or number of operations, to look for more: MDEVSIM_FUZZ_SEED, MDEVSIM_FUZZ_OPERATIONS. */
const SEED = Number(process.env.MDEVSIM_FUZZ_SEED ?? 20261121);
const OPERATIONS = Number(process.env.MDEVSIM_FUZZ_OPERATIONS ?? 100_000);
/** The client is killed after this time, ms. */
const LIMIT = 60_000;
/** The most that the server may grow meanwhile, bytes: a claim of 4 GiB that was believed would show. */
const MEMORY = 300 << 20;

const compiler = ['cc', 'gcc', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0);
const missing = compiler === undefined ? 'needs a C compiler'
  : !existsSync('/dev/fuse') || process.getuid?.() !== 0 ? 'needs root and /dev/fuse' : undefined;

/**
 * Low bytes of commands some of which must have succeeded: container, group, device info, SET_IRQS, RESET, MAP_DMA, FEATURE,
 * PRECOPY_INFO.
 */
const REACHED = [100, 103, 107, 110, 111, 113, 117, 121];

interface Report {
  readonly operations: number;
  readonly slow: number;
  readonly reached: Readonly<Record<number, number>>;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; });
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

describe('fuzz', { skip: missing ?? false, timeout: 2 * LIMIT }, () => {
  const errors: TraceEvent[] = [];
  let formerSink: TraceSink | undefined;
  let temporary = '';
  let client = '';
  let rig: Rig;

  before(async () => {
    formerSink = setLogSink((event) => {
      if (event.level === 'error') errors.push(event);
    });
    temporary = mkdtempSync(join(tmpdir(), 'mdevsim-fuzz-client-'));
    client = join(temporary, 'client');
    const source = fileURLToPath(new URL('client.c', import.meta.url));
    const compiled = spawnSync(compiler ?? 'cc', ['-O1', '-o', client, source], { encoding: 'utf8' });
    assert.equal(compiled.status, 0, compiled.stderr);
    rig = await startRig();
  });
  after(async () => {
    setLogSink(formerSink);
    await rig[Symbol.asyncDispose]();
    rmSync(temporary, { recursive: true });
  });

  it('any bytes, ioctls, addresses and claimed lengths get an errno; nothing else changes and nothing leaks', async (t) => {
    const { machine, mount, core, uuids } = rig;
    const shown = await picture(machine.sys);
    const descriptorsBefore = descriptors();
    const memoryBefore = process.memoryUsage.rss();
    let highest = memoryBefore;
    const sampler = setInterval(() => { highest = Math.max(highest, process.memoryUsage.rss()); }, 50);

    const fuzzed = await run(client, [mount.dir, String(SEED), String(OPERATIONS), ...uuids]);
    clearInterval(sampler);
    assert.deepEqual([fuzzed.code, fuzzed.signal], [0, null], fuzzed.stderr);
    t.diagnostic(fuzzed.stdout.trim());
    const { operations, slow, reached } = JSON.parse(fuzzed.stdout) as Report;
    assert.ok(operations >= OPERATIONS);
    assert.equal(slow, 0, 'operations that took longer than 3 s');
    assert.deepEqual(errors, [], 'unexpected exceptions');
    for (const number of REACHED) assert.ok((reached[number] ?? 0) > 0, `no ioctl ${number} ever succeeded: the fuzzer is blunt`);

    const checked = await run(client, [mount.dir, String(SEED), '0', ...uuids]);
    assert.deepEqual([checked.code, checked.stdout], [0, `{"opened":${uuids.length}}\n`], checked.stderr);

    for (const device of [...core.devices.values()]) if (!uuids.includes(device.uuid)) await core.remove(device);
    await restore(machine.root, shown);
    assert.deepEqual(await picture(machine.sys), shown);

    await mount.settled();
    const { handles, pending, slots, boundSlots } = mount.stats();
    assert.deepEqual({ handles, pending, slots, boundSlots }, { handles: 0, pending: 0, slots: 0, boundSlots: 0 });
    assert.equal(descriptors(), descriptorsBefore);
    const grown = highest - memoryBefore;
    t.diagnostic(`the server grew by ${grown >> 20} MiB at most; ${mount.stats().inodes} inodes are held`);
    assert.ok(grown < MEMORY, `${grown >> 20} MiB`);
  });
});
