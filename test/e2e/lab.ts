/** A lab for end-to-end tests: `mdevsim mount` in a process of its own, two mdevs, and files read and written by real shells. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MDEVSIM } from '../cli/mdevsim.js';
import { Child, sh } from './child.js';
import type { ShellResult } from './child.js';
import { Vm } from './vm.js';
import type { VmOptions } from './vm.js';

export const SOURCE = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
export const TARGET = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002';

export interface LabOptions {
  /** Default: track. */
  readonly blocker?: string;
  /** Type of both mdevs; default mtty-1. */
  readonly type?: string;
  /** More arguments of `mdevsim mount`. */
  readonly args?: readonly string[];
}

export class TestLab {
  /** Mount point. */
  readonly dir: string;
  /** For sockets and the like; goes with the lab. */
  readonly scratch: string;
  readonly server: Child;
  readonly vms: Vm[] = [];

  private constructor(scratch: string, options: LabOptions) {
    this.scratch = scratch;
    this.dir = join(scratch, 'lab');
    const type = options.type ?? 'mtty-1';
    this.server = new Child('mdevsim mount', [
      ...MDEVSIM, 'mount', this.dir, '--mdev', `${type},uuid=${SOURCE}`, '--mdev', `${type},uuid=${TARGET}`,
      ...(options.blocker === undefined ? [] : ['--blocker', options.blocker]), ...(options.args ?? []),
    ]);
  }

  /** Runs `body` with a lab, and leaves no process and no mount behind however it ends. */
  static async with(options: LabOptions, body: (lab: TestLab) => Promise<void>): Promise<void> {
    const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-e2e-'));
    sh(`mkdir ${scratch}/lab`);
    const lab = new TestLab(scratch, options);
    try {
      await lab.server.line(30, /^ready /);
      await body(lab);
    } catch (error) {
      throw lab.#explain(error);
    } finally {
      await lab.#end();
    }
  }

  /** Path of an mdev's file, `migration_block`. */
  path(uuid: string, file: string): string {
    return `${this.dir}/sys/bus/mdev/devices/${uuid}/${file}`;
  }
  debugfs(file: string): string {
    return `${this.dir}/sys/kernel/debug/${file}`;
  }

  /** `echo VALUE > migration_block` in a real shell; in bash by default, because dash says "I/O error" whatever the error was. */
  block(uuid: string, value: string, shell = 'bash'): ShellResult {
    return sh(`${shell} -c 'echo ${value} > ${this.path(uuid, 'migration_block')}'`);
  }
  /** Writes one of the lab's knobs: `blocker`, `delay`, `fail`, ... Throws when it is refused. */
  knob(uuid: string, name: string, text: string): void {
    const { status, stderr } = sh(`echo '${text}' > ${this.debugfs(`mdevsim/${uuid}/${name}`)}`);
    if (status !== 0) throw new Error(`${name} refused '${text}': ${stderr}`);
  }
  /** The device's migration state, from the kernel's own debugfs file. */
  state(uuid: string): string {
    return sh(`cat ${this.debugfs(`vfio/${uuid}/migration/state`)}`).stdout.trim();
  }
  /** Descriptors that the server has open. */
  serverFds(): number {
    return readdirSync(`/proc/${this.server.pid}/fd`).length;
  }
  /** `vfio0`: the name of the device's cdev. */
  cdev(uuid: string): string {
    return sh(`ls ${this.path(uuid, 'vfio-dev')}`).stdout.trim();
  }

  async vm(options: VmOptions): Promise<Vm> {
    const vm = new Vm(this, options);
    this.vms.push(vm);
    await vm.ready();
    return vm;
  }

  #explain(error: unknown): unknown {
    if (!(error instanceof Error)) return error;
    const children = [this.server, ...this.vms.map((vm) => vm.child)];
    const logs = children.map(({ name, output }) => `--- ${name}\n${output.slice(-3000)}`);
    error.message += `\n${logs.join('\n')}`;
    return error;
  }

  async #end(): Promise<void> {
    for (const vm of this.vms) vm.kill();
    for (const vm of this.vms) await vm.child.stop('SIGKILL');
    let failure: unknown;
    try {
      const status = await this.server.stop('SIGTERM');
      if (status !== 0) failure = new Error(`mdevsim mount ended with ${status} after SIGTERM:\n${this.server.output}`);
    } catch (error) {
      failure = error;
    }
    sh(`umount -l ${this.dir} 2>/dev/null; rmdir ${this.dir} 2>/dev/null`);
    rmSync(this.scratch, { recursive: true, force: true });
    if (failure !== undefined) throw failure instanceof Error ? failure : new Error('the server did not end');
  }
}
