/** VMs with a vGPU of driver gvt: its registers as the guest's CPU reaches them, and what its DMA has written to memory. */
import assert from 'node:assert/strict';
import { gvt_dma_registers, LAB_REGISTERS } from '../../src/drivers/gvt/layout.js';
import { DMA_RUN, dmaPattern } from '../../src/drivers/gvt/dma.js';
import { sh } from './child.js';
import { until } from './deadline.js';
import { SOURCE, TARGET, TestLab } from './lab.js';
import type { LabOptions } from './lab.js';
import type { Vm, VmOptions } from './vm.js';

/** Guest memory that the firmware leaves alone. */
export const DMA_ADDRESS = 0x100_0000n;
export const DMA_LENGTH = 64 << 10;
const BAR0 = /8086:1912[^]*?BAR0: 64 bit memory at 0x([0-9a-f]+) /;
const REGISTER = gvt_dma_registers.fields;

export interface Generation {
  readonly via: VmOptions['via'];
  /** Of driver gvt; default v2. */
  readonly protocol?: string;
  /** Properties of the device in QEMU. */
  readonly device?: string;
}

export class VgpuLab {
  private constructor(readonly lab: TestLab, readonly generation: Generation) {}

  static with(generation: Generation, body: (lab: VgpuLab) => Promise<void>, options: LabOptions = {}): Promise<void> {
    const { protocol = 'v2' } = generation;
    const args = ['--driver', `gvt,protocol=${protocol}`, '--trace', 'migration', ...(options.args ?? [])];
    return TestLab.with({ type: 'i915-GVTg_V5_4', ...options, args }, (lab) => body(new VgpuLab(lab, generation)));
  }

  async vm(uuid: string, options: Partial<VmOptions> = {}): Promise<Vgpu> {
    const { via, device } = this.generation;
    const vm = await this.lab.vm({ uuid, via, qtest: true, ...(device === undefined ? {} : { device }), ...options });
    return new Vgpu(this.lab, uuid, vm);
  }

  /** A machine that runs and one that waits for it. */
  async pair(): Promise<{ source: Vgpu; target: Vgpu }> {
    const [source, target] = await Promise.all([this.vm(SOURCE), this.vm(TARGET, { incoming: true })]);
    assert.equal(await source.vm.isRunning(), true);
    return { source, target };
  }

  /** Steps of the device's migration state, as the lab has traced them: `RUNNING>PRE_COPY`. */
  steps(uuid: string): readonly string[] {
    const lines = this.lab.server.output.split('\n').filter((line) => line.includes('migration.state') && line.includes(uuid));
    return lines.map((line) => `${/from=(\w+)/.exec(line)?.[1]}>${/to=(\w+)/.exec(line)?.[1]}`);
  }
}

export class Vgpu {
  #bar: bigint | undefined;

  constructor(readonly lab: TestLab, readonly uuid: string, readonly vm: Vm) {}

  async readRegister(offset: number): Promise<number> {
    return this.vm.qtest.read32(await this.#address(offset));
  }
  async writeRegister(offset: number, value: number): Promise<void> {
    await this.vm.qtest.write32(await this.#address(offset), value);
  }

  /** Programs the DMA engine as a guest's driver would. */
  async startDma(milliseconds = 5): Promise<void> {
    const at = async (field: { readonly offset: number }): Promise<bigint> => this.#address(LAB_REGISTERS + field.offset);
    await this.vm.qtest.write64(await at(REGISTER.address), DMA_ADDRESS);
    await this.vm.qtest.write64(await at(REGISTER.length), BigInt(DMA_LENGTH));
    await this.vm.qtest.write32(await at(REGISTER.interval), milliseconds);
    await this.vm.qtest.write32(await at(REGISTER.control), DMA_RUN);
  }

  /** The lab's file `dma`: the program, and what it has done so far. */
  get dma(): { readonly program: string; readonly rounds: bigint; readonly errors: bigint } {
    const [program = '', rounds = '', errors = ''] = sh(`cat ${this.lab.debugfs(`mdevsim/${this.uuid}/dma`)}`).stdout.split('\n');
    return { program, rounds: BigInt(rounds.split(' ')[1] ?? -1), errors: BigInt(errors.split(' ')[1] ?? -1) };
  }

  /** Until the engine has written more rounds than `more` beyond those that it has now. */
  async dmaGoesOn(more = 2n): Promise<void> {
    const start = this.dma.rounds;
    await until(20, 'DMA to go on', () => (this.dma.rounds > start + more ? true : undefined));
  }

  /** Asserts that the memory holds exactly what round `sequence` wrote. */
  async assertMemory(sequence: bigint): Promise<void> {
    const memory = await this.vm.qtest.readMemory(DMA_ADDRESS, DMA_LENGTH);
    const first = memory.readBigUInt64LE(8);
    assert.equal(first, sequence, 'the first cell');
    assert.ok(memory.equals(dmaPattern(sequence, DMA_LENGTH)), 'all of the memory');
  }

  async #address(offset: number): Promise<bigint> {
    this.#bar ??= await this.vm.bar(BAR0);
    return this.#bar + BigInt(offset);
  }
}
