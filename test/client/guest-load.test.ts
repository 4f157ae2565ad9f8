/** A guest that works while its device and its memory move: nothing is lost, nothing comes twice. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Vmm } from '../../src/index.js';
import { Bench, quickly, running, SOURCE } from './pair.js';

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

  it('goes on with its memory when its device is taken from it', () => Bench.with({}, async (bench) => {
    const vmm = await bench.vmm({ devices: [`${SOURCE},id=vf0`], args: ['--guest-load', 'pages=1000,bytes=1000'] });
    await worked(vmm, 20);
    await vmm.qmp.execute('device_del', { id: 'vf0' });
    const before = await report(vmm);
    for (let now = before; now.pages < before.pages + 50; now = await report(vmm)) assert.equal(now.sent, before.sent);
    assert.match(vmm.output, /mdevsim vmm: guest load: the serial port of .* is gone: pages only from now on\n/);
    // Nor does a new start of the machine look for it.
    await vmm.qmp.execute('stop');
    await vmm.qmp.execute('cont');
    assert.deepEqual([(await report(vmm)).sent, await running(vmm)], [before.sent, 'running']);
    assert.equal(await vmm.end(), 0);
  }));

  it('is asked for with --guest-load', () => Bench.with({}, async (bench) => {
    const { source } = await bench.pair();
    await assert.rejects(source.qmp.execute('x-mdevsim-guest-load'), /There is no guest load/);
  }));
});
