/** A lab in this process and VMMs in processes of their own; whatever happens, nothing of it is left. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabEvent } from '../../src/index.js';
import { Lab, Vmm } from '../../src/index.js';
import type { LabDevice, LabOptions, VmmStartOptions } from '../../src/index.js';
import { MDEVSIM } from '../cli/mdevsim.js';

export const SOURCE = '11111111-1111-4111-8111-111111111111';
export const TARGET = '22222222-2222-4222-8222-222222222222';
export const DEVICE = 'id=vf0,migration-events=on';

export class Bench {
  readonly vmms: Vmm[] = [];
  readonly events: LabEvent[] = [];

  private constructor(readonly lab: Lab, readonly scratch: string) {
    lab.on((event) => this.events.push(event));
  }

  static async with(options: LabOptions, body: (bench: Bench) => Promise<void>): Promise<void> {
    const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-bench-'));
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-lab-'));
    const lab = await Lab.mount(dir, { devices: [{ type: 'mtty-2', uuid: SOURCE }, { type: 'mtty-2', uuid: TARGET }],
      ...options });
    const bench = new Bench(lab, scratch);
    try {
      await body(bench);
    } catch (error) {
      if (error instanceof Error) error.message += bench.vmms.map(({ output }) => `\n--- vmm\n${output.slice(-2000)}`).join('');
      throw error;
    } finally {
      await Promise.all(bench.vmms.map((vmm) => vmm.kill()));
      await lab.unmount();
      rmSync(dir, { recursive: true, force: true });
      rmSync(scratch, { recursive: true, force: true });
    }
  }

  get source(): LabDevice {
    return this.device(SOURCE);
  }
  get target(): LabDevice {
    return this.device(TARGET);
  }
  device(uuid: string): LabDevice {
    const device = this.lab.device(uuid);
    assert.ok(device);
    return device;
  }

  /** Migration states of a device, as the lab saw them. */
  states(uuid: string): string[] {
    return this.events.flatMap((event) => (event.type === 'transition' && event.uuid === uuid ? [event.to] : []));
  }

  /** As new: what an interrupted migration has left in the card stays over its last close. */
  async recreate(uuid: string): Promise<void> {
    const { type } = this.device(uuid);
    await this.device(uuid).remove();
    this.lab.createDevice({ type, uuid });
    await this.lab.settled();
  }

  async vmm(options: Omit<VmmStartOptions, 'lab' | 'command'>): Promise<Vmm> {
    const vmm = await Vmm.start({ ...options, lab: this.lab.dir, command: MDEVSIM });
    this.vmms.push(vmm);
    return vmm;
  }

  /** One that runs with the first device, and one that waits with the second. */
  async pair(source: readonly string[] = [], target: readonly string[] = []): Promise<{ source: Vmm; target: Vmm }> {
    const started = await Promise.allSettled([
      this.vmm({ devices: [`${SOURCE},${DEVICE}`], args: source }), this.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true,
        args: target }),
    ]);
    const [a, b] = started;
    if (a.status === 'rejected') throw a.reason;
    if (b.status === 'rejected') throw b.reason;
    return { source: a.value, target: b.value };
  }
}

/** So slow that it does not end by itself, where the guest writes: 64 MiB of RAM that nobody writes are sent at once. */
export async function slowly(vmm: Vmm): Promise<void> {
  await vmm.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 20_000, 'downtime-limit': 1 });
}
export async function quickly(vmm: Vmm): Promise<void> {
  await vmm.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 0, 'downtime-limit': 2000 });
}

/** Names of events with the one thing that tells them apart, `MIGRATION setup`. */
export function story(vmm: Vmm, after = 0): string[] {
  return vmm.qmp.events.slice(after).map(({ event, data }) => {
    const detail = data['status'] ?? data['device-state'] ?? data['step'];
    return typeof detail === 'string' ? `${event} ${detail}` : event;
  });
}

/** A status that no event tells. */
export async function running(vmm: Vmm): Promise<string> {
  return (await vmm.qmp.execute('query-status')).status;
}
