/** A guest that works while its device and its memory move: nothing is lost, nothing comes twice. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Vmm } from '../../src/index.js';
import { Bench, quickly } from './pair.js';

interface Report {
  readonly pages: number;
  readonly sent: number;
  readonly received: number;
  readonly errors: number;
}

const report = (vmm: Vmm): Promise<Report> => vmm.qmp.execute('x-mdevsim-guest-load');

/** Until the guest has received so many bytes. */
async function worked(vmm: Vmm, bytes: number): Promise<Report> {
  for (;;) {
    const now = await report(vmm);
    if (now.received >= bytes) return now;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('a guest at work', { timeout: 80_000 }, () => {
  it('is migrated and goes on where it was, with every byte once', () => Bench.with({}, async (bench) => {
    const load = ['--guest-load', 'pages=4000,bytes=500'];
    const { source, target } = await bench.pair(load, load);
    await worked(source, 50);
    await quickly(source);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.migrated();
    const before = await report(source);
    const after = await worked(target, before.received + 50);
    assert.deepEqual([before.errors, after.errors], [0, 0]);
    assert.ok(after.pages >= before.pages && after.sent >= before.sent, JSON.stringify([before, after]));
    assert.deepEqual(await report(source), before);
  }));

  it('sees which bytes its device lost with a stream that was cut', () => Bench.with({}, async (bench) => {
    const load = ['--guest-load', 'pages=100,bytes=1000'];
    const { source, target } = await bench.pair(load, load);
    await worked(source, 20);
    await bench.source.fault('stream_cut', '30');
    await quickly(source);
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.migrated();
    // As with QEMU: the source has not noticed, and the destination runs on with a device as new.
    const before = await report(source);
    const after = await worked(target, before.received + 50);
    assert.deepEqual([before.errors, after.errors], [0, before.sent - before.received]);
  }));

  it('is asked for with --guest-load', () => Bench.with({}, async (bench) => {
    const { source } = await bench.pair();
    await assert.rejects(source.qmp.execute('x-mdevsim-guest-load'), /There is no guest load/);
  }));
});
