/** Runs one scenario with stock QEMU and with `mdevsim vmm`, both on one lab, and compares what the lab saw of them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { SOURCE, TARGET, TestLab } from '../../e2e/lab.js';
import { assertDone } from '../../e2e/assert.js';
import { sh } from '../../e2e/child.js';
import { until } from '../../e2e/deadline.js';
import { qemuMajor, whyNoQemu } from '../../e2e/requirements.js';
import { recreate } from '../../e2e/scenario.js';
import type { Kind, MachineOptions, Via } from './machine.js';
import { Machine } from './machine.js';
import { comparable, eventWords, TraceReader } from './sequence.js';
import { difference, versionRows } from './versions.js';

/** `busy`: the source's guest. The rest is for both. */
export type PairOptions = Pick<MachineOptions, 'busy' | 'properties'>;

export class Run {
  readonly lab: TestLab;
  readonly kind: Kind;
  readonly via: Via;
  readonly machines: Machine[] = [];
  readonly #trace: TraceReader;

  constructor(lab: TestLab, kind: Kind, via: Via, trace: TraceReader) {
    this.lab = lab;
    this.kind = kind;
    this.via = via;
    this.#trace = trace;
  }

  /** Until the machine has made such a call. */
  async called(machine: Machine, call: RegExp): Promise<void> {
    const ask = (): true | undefined => (this.#trace.of(machine.child.pid).some((line) => call.test(line)) ? true : undefined);
    await until(15, `${machine.child.name} to call ${String(call)}`, ask, () => machine.child.output);
  }

  async start(uuid: string, options: Omit<MachineOptions, 'via'> = {}): Promise<Machine> {
    const machine = new Machine(this.lab, this.kind, uuid, { via: this.via, ...options });
    this.machines.push(machine);
    await machine.ready();
    return machine;
  }

  /** One that runs, and one that waits for it. */
  async pair({ busy, ...both }: PairOptions = {}): Promise<{ source: Machine; target: Machine }> {
    const [source, target] = await Promise.all([
      this.start(SOURCE, { ...both, busy: busy === true }), this.start(TARGET, { ...both, incoming: true }),
    ]);
    await source.running();
    return { source, target };
  }
}

export interface Scenario {
  readonly title: string;
  readonly via?: Via;
  /** The knob `features` of both devices. */
  readonly features?: string;
  /** `either`: QEMU's own threads decide which events come, so they are not compared. */
  readonly events?: 'either';
  readonly run: (run: Run) => Promise<void>;
}

/** What one machine of a scenario did: calls to its devices, and events. */
interface Story {
  readonly calls: readonly string[];
  readonly events: readonly string[];
}

/** Each machine of the scenario, in the order in which they were started. */
async function record(lab: TestLab, trace: TraceReader, kind: Kind, scenario: Scenario): Promise<Story[]> {
  const run = new Run(lab, kind, scenario.via ?? 'group', trace);
  try {
    for (const uuid of [SOURCE, TARGET]) {
      recreate(lab, uuid);
      if (scenario.features !== undefined) lab.knob(uuid, 'features', scenario.features);
    }
    await scenario.run(run);
    for (const machine of run.machines) if (machine.child.running) await machine.quit();
    const { marks } = trace;
    assertDone(sh(`cat ${lab.path(SOURCE, 'migration_block')} >/dev/null`));
    await until(10, 'the trace to come in', () => (trace.marks > marks ? true : undefined));
    return run.machines.map(({ child, qmp }) => ({
      calls: comparable(kind, trace.of(child.pid), qemuMajor()),
      events: scenario.events === 'either' ? [] : eventWords(qmp.events),
    }));
  } catch (error) {
    const last = run.machines.map(({ child }) =>
      [`--- ${child.name}`, child.output, ...trace.of(child.pid).slice(-30)].join('\n'));
    if (error instanceof Error) error.message += `\n(${kind})\n${last.join('\n')}`;
    throw error;
  } finally {
    for (const machine of run.machines) {
      machine.kill();
      await machine.child.stop('SIGKILL');
    }
  }
}

/** Throws with what differs, where that is not what it should be, and a few lines around it. */
function same(qemu: readonly string[], vmm: readonly string[], known: readonly string[], what: string): void {
  if (isDeepStrictEqual(difference(vmm, qemu), known)) return;
  const at = qemu.findIndex((line, n) => line !== vmm[n]);
  const from = Math.max(0, (at < 0 ? qemu.length : at) - 4);
  const show = (lines: readonly string[]): string => lines.join('\n  ');
  assert.fail(`${what} differ from number ${at < 0 ? qemu.length : at} on\nQEMU:\n  ${show(qemu.slice(from, from + 14))}
vmm:\n  ${show(vmm.slice(from, from + 14))}\ndifference:\n  ${show(difference(vmm, qemu))}\nknown:\n  ${show(known)}`);
}

/** What is known to differ, of machine number `n` of a scenario. */
function known(title: string, n: number, kind: 'calls' | 'events'): readonly string[] {
  if (n > 0) return [];
  return versionRows(qemuMajor()).find((row) => row.scenarios.includes(title) && row[kind] !== undefined)?.[kind] ?? [];
}

export function compareScenarios(title: string, scenarios: readonly Scenario[]): void {
  describe(`stock QEMU and mdevsim vmm: ${title}`, { skip: whyNoQemu() ?? false, timeout: 400_000 }, () => {
    it('do the same to their devices, and say the same of it', async (context) => {
      await TestLab.with({ args: ['--trace', 'vfio,slot,sysfs'] }, async (lab) => {
        const trace = new TraceReader();
        lab.server.process.stderr?.setEncoding('utf8').on('data', (data: string) => trace.feed(data));
        for (const scenario of scenarios) {
          await context.test(scenario.title, async () => {
            const qemu = await record(lab, trace, 'qemu', scenario);
            const vmm = await record(lab, trace, 'vmm', scenario);
            assert.equal(vmm.length, qemu.length);
            for (const [n, { calls, events }] of qemu.entries()) {
              same(calls, vmm[n]?.calls ?? [], known(scenario.title, n, 'calls'), `machine ${n + 1}: calls`);
              same(events, vmm[n]?.events ?? [], known(scenario.title, n, 'events'), `machine ${n + 1}: events`);
            }
          });
        }
      });
    });
  });
}
