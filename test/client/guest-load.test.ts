/** A guest that works while its device and its memory move: nothing is lost, nothing comes twice. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UART_LSR, UART_LSR_DR, UART_TX } from '../../src/abi/serial.js';
import { GuestLoad } from '../../src/client/vm/guest-load.js';
import { Ram } from '../../src/client/vm/ram.js';
import { Vm } from '../../src/client/vm/vm.js';
import type { Vmm } from '../../src/index.js';
import { Bench, quickly, running, SOURCE } from './pair.js';

interface Report {
  readonly pages: number;
  readonly sent: number;
  readonly received: number;
  readonly errors: number;
}

const report = (vmm: Vmm): Promise<Report> => vmm.qmp.execute('x-mdevsim-guest-load');

/** A machine whose serial port sends bytes back as `wire` makes them of the n-th byte that was sent, or not at all. */
async function over(wire: (byte: number, n: number) => readonly number[], bytes: number): Promise<Report> {
  const ram = new Ram(1 << 20);
  const vm = new Vm({ ram, state: 'prelaunch', environment: { event: () => undefined, log: () => undefined } });
  const fifo: number[] = [];
  let sent = 0;
  const load = new GuestLoad(vm, {
    name: 'wire', closed: false,
    readBar: (_bar, register) => Uint8Array.of(register === UART_LSR ? (fifo.length > 0 ? UART_LSR_DR : 0) : fifo.shift() ?? 0),
    writeBar: (_bar, register, [byte = 0]) => { if (register === UART_TX) fifo.push(...wire(byte, sent++)); },
  }, { pages: 0, bytes: 1000 });
  vm.start();
  while (load.report.received < bytes) await new Promise((resolve) => setTimeout(resolve, 5));
  vm.shutdown();
  const { report } = load;
  load.close();
  ram.close();
  return report;
}

describe('what a guest at work takes for an error', { timeout: 20_000 }, () => {
  for (const [what, wire, errors] of [
    ['nothing, where all comes back', (byte) => [byte], 0],
    ['a byte that is lost', (byte, n) => (n === 9 ? [] : [byte]), 1],
    ['three bytes that are lost', (byte, n) => (n >= 9 && n < 12 ? [] : [byte]), 3],
    ['a byte that comes twice', (byte, n) => (n === 9 ? [byte, byte] : [byte]), 1],
    ['a byte with another bit set', (byte, n) => (n === 9 ? [byte ^ 0x40] : [byte]), 1],
    ['a byte that is none of its own', (byte, n) => (n === 9 ? [0xff] : [byte]), 1],
  ] as const satisfies [string, (byte: number, n: number) => readonly number[], number][]) {
    it(what, async () => assert.equal((await over(wire, 60)).errors, errors));
  }
});

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
