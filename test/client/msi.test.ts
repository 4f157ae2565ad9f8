/**
 * MSI and INTx as a guest's driver turns them on and off, and a reset in between: what stock QEMU and our VMM then ask of a
 * device that has both. QEMU has no guest here: what its driver would write comes by QEMU's test protocol.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE } from '../../src/abi/pci.js';
import { sh } from '../e2e/child.js';
import { until } from '../e2e/deadline.js';
import { SOURCE, TestLab } from '../e2e/lab.js';
import { qemuMajor, whyNoQemu } from '../e2e/requirements.js';
import { comparable, TraceReader } from './compare/sequence.js';
import { withClient } from './vfio-client.js';

const skip = whyNoQemu();
/** The vGPU's capability. */
const FLAGS = 0xac + PCI_MSI_FLAGS;

/** QEMU 11 looks for more of Intel's graphics than the vGPU has, and crashes where it is not there. */
const NO_INTEL = qemuMajor() >= 11 ? { device: 'x-pci-vendor-id=0x1234' } : {};

/** One process' calls, step by step. */
class Recorder {
  readonly #lab: TestLab;
  readonly #trace: TraceReader;
  readonly #pid: number;
  #taken = 0;
  readonly story: string[] = [];

  constructor(lab: TestLab, trace: TraceReader, pid: number) {
    this.#lab = lab;
    this.#trace = trace;
    this.#pid = pid;
  }

  /** Runs a step, and keeps what the process has asked of its device in it. */
  async step(name: string, run: () => Promise<unknown>): Promise<void> {
    await run();
    const { marks } = this.#trace;
    sh(`cat ${this.#lab.path(SOURCE, 'migration_block')} >/dev/null`);
    await until(10, 'the trace to come in', () => (this.#trace.marks > marks ? true : undefined));
    const calls = this.#trace.of(this.#pid);
    const fresh = calls.slice(this.#taken);
    this.#taken = calls.length;
    // The start is in other comparisons.
    if (name !== '') this.story.push(name, ...fresh);
  }
}

async function ofQemu(lab: TestLab, trace: TraceReader): Promise<readonly string[]> {
  // A firmware that does nothing: only the test writes to the device.
  const bios = join(lab.scratch, 'bios');
  const content = new Uint8Array(64 << 10);
  content.set([0xeb, 0xfe], content.length - 16);
  writeFileSync(bios, content);
  const vm = await lab.vm({ uuid: SOURCE, via: 'group', qtest: true, args: ['-bios', bios], ...NO_INTEL });
  const recorder = new Recorder(lab, trace, vm.child.pid);
  const pci = await vm.qmp.executeAny('query-pci') as { devices: { qdev_id: string; slot: number }[] }[];
  const slot = pci[0]?.devices.find(({ qdev_id: id }) => id === 'card')?.slot ?? 0;
  const write = (value: number): Promise<void> => vm.qtest.writeConfig16(slot, FLAGS, value);
  let flags = 0;
  await recorder.step('', async () => { flags = await vm.qtest.readConfig16(slot, FLAGS); });
  await tell(recorder, (on) => write(on ? flags | PCI_MSI_FLAGS_ENABLE : flags & ~PCI_MSI_FLAGS_ENABLE), async () => {
    await vm.qmp.execute('system_reset');
    await vm.qmp.event(({ event }) => event === 'RESET', { what: 'RESET' });
    // RESET is said before the devices are.
    await vm.qmp.execute('query-status');
  });
  return recorder.story;
}

async function ofOurs(lab: TestLab, trace: TraceReader): Promise<readonly string[]> {
  let story: readonly string[] = [];
  await withClient(lab, async (client) => {
    const recorder = new Recorder(lab, trace, client.pid);
    await recorder.step('', async () => {
      await client.do('add', { sysfsdev: `/sys/bus/mdev/devices/${SOURCE}`, id: 'vf0' });
      await client.do('reset');
      await client.do('start');
    });
    await tell(recorder, (on) => client.do('msi', on), () => client.do('reset'));
    story = recorder.story;
  });
  return story;
}

async function tell(recorder: Recorder, msi: (on: boolean) => Promise<unknown>, reset: () => Promise<unknown>): Promise<void> {
  await recorder.step('MSI on', () => msi(true));
  await recorder.step('MSI on, which it is', () => msi(true));
  await recorder.step('MSI off', () => msi(false));
  await recorder.step('MSI off, which it is', () => msi(false));
  await recorder.step('a reset with INTx', reset);
  await recorder.step('MSI on again', () => msi(true));
  await recorder.step('a reset with MSI', reset);
}

describe('stock QEMU and mdevsim vmm: interrupts', { timeout: 80_000, ...(skip === undefined ? {} : { skip }) }, () => {
  it('ask the same of a device when a guest turns MSI on and off, and in a reset', () =>
    TestLab.with({ type: 'i915-GVTg_V5_4', args: ['--driver', 'gvt', '--trace', 'vfio,slot,sysfs'] }, async (lab) => {
      const trace = new TraceReader();
      lab.server.process.stderr?.setEncoding('utf8').on('data', (data: string) => trace.feed(data));
      const qemu = await ofQemu(lab, trace);
      for (const vm of lab.vms) await vm.child.stop('SIGKILL');
      const ours = await ofOurs(lab, trace);
      assert.deepEqual(comparable('vmm', ours, qemuMajor()), comparable('qemu', qemu, qemuMajor()));
      assert.ok(qemu.some((line) => line.includes('SET_IRQS index=1 flags=36')), qemu.join('\n'));
    }));
});
