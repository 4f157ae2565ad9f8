/** One machine with one device: stock QEMU or `mdevsim vmm`, started and spoken to alike. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MigrationInfo, MigrationStatus, QmpClient } from '../../../src/client/qmp/client.js';
import { MDEVSIM } from '../../cli/mdevsim.js';
import { Child } from '../../e2e/child.js';
import { until } from '../../e2e/deadline.js';
import type { TestLab } from '../../e2e/lab.js';
import { connectMonitor } from '../../e2e/monitor.js';
import { qemuMajor } from '../../e2e/requirements.js';
import { QEMU } from '../../e2e/vm.js';

export type Kind = 'qemu' | 'vmm';
export type Via = 'group' | 'cdev';
const FINAL: readonly MigrationStatus[] = ['completed', 'failed', 'cancelled'];
/** On stock QEMU and on ours. */
const PROPERTIES = 'migration-events=on';

export interface MachineOptions {
  readonly via: Via;
  readonly incoming?: boolean;
  /** The guest writes memory all the time. QEMU's needs not: it sends every page, also those that were never written. */
  readonly busy?: boolean;
  /** A second device. Only by group. */
  readonly also?: string | undefined;
  /** -S: not started. */
  readonly stopped?: boolean;
  /** More properties of the devices. */
  readonly properties?: string;
}

let count = 0;

/** A migration that does not end by itself. */
export async function slowly(machine: Machine): Promise<void> {
  await machine.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 20_000, 'downtime-limit': 1 });
}

export class Machine {
  readonly kind: Kind;
  readonly uuid: string;
  readonly child: Child;
  readonly #name: string;
  readonly #lab: TestLab;
  #qmp: QmpClient | undefined;

  constructor(lab: TestLab, kind: Kind, uuid: string, options: MachineOptions) {
    this.kind = kind;
    this.uuid = uuid;
    this.#lab = lab;
    this.#name = `${kind}${++count}`;
    const incoming = options.incoming === true ? ['incoming', this.uri] : undefined;
    this.child = new Child(this.#name, kind === 'qemu' ? this.#qemu(options, incoming) : this.#vmm(options, incoming));
  }

  get uri(): string {
    return `unix:${this.#socket('migration')}`;
  }
  get qmp(): QmpClient {
    if (this.#qmp === undefined) throw new Error(`${this.#name} is not ready`);
    return this.#qmp;
  }

  async ready(): Promise<void> {
    this.#qmp = await connectMonitor(this.#socket('qmp'), this.child);
    await this.#qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
    await this.#qmp.execute('migrate-set-parameters', { 'max-bandwidth': 0, 'downtime-limit': 2000 });
  }

  migrate(target: Machine | string): Promise<unknown> {
    return this.qmp.execute('migrate', { uri: typeof target === 'string' ? target : target.uri });
  }

  /** Until query-migrate says so. Throws when the migration has ended otherwise. */
  async reached(status: MigrationStatus): Promise<MigrationInfo> {
    return until(15, `${this.#name}'s migration to be ${status}`, async () => {
      const info = await this.qmp.execute('query-migrate');
      if (info.status === status) return info;
      if (info.status === undefined || !FINAL.includes(info.status)) return undefined;
      throw new Error(`${this.#name}: ${info.status}: ${info['error-desc'] ?? ''}`);
    }, () => this.child.output);
  }

  running(): Promise<void> {
    return this.is('running');
  }

  /** Until query-status says so. */
  async is(status: string): Promise<void> {
    const ask = async (): Promise<true | undefined> =>
      ((await this.qmp.execute('query-status')).status === status ? true : undefined);
    await until(15, `${this.#name} to be ${status}`, ask, () => this.child.output);
  }

  async quit(): Promise<void> {
    await this.qmp.execute('quit').catch(() => undefined);
    await this.child.stop('SIGTERM');
  }

  kill(): void {
    this.#qmp?.close();
    this.child.kill();
  }

  #qemu({ via, also, stopped, properties: more }: MachineOptions, incoming: readonly string[] | undefined): string[] {
    // A firmware that does nothing: the guest never looks at the device.
    const bios = join(this.#lab.scratch, 'bios');
    const content = new Uint8Array(64 << 10);
    content.set([0xeb, 0xfe], content.length - 16);
    writeFileSync(bios, content);
    const common = [
      QEMU, '-M', 'q35,accel=tcg', '-m', '64M', '-bios', bios, '-nodefaults', '-display', 'none', '-no-user-config',
      '-qmp', `unix:${this.#socket('qmp')},server=on,wait=off`,
      ...(incoming === undefined ? [] : [`-${incoming[0]}`, incoming[1] ?? '']), ...(stopped === true ? ['-S'] : []),
    ];
    const properties = [PROPERTIES, ...(more === undefined ? [] : [more])].join(',');
    const run = [...MDEVSIM, 'run', '--lab', this.#lab.dir, '--'];
    const device = (uuid: string, id: string): string[] =>
      ['-device', `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${uuid},id=${id},${properties}`];
    const second = also === undefined ? [] : device(also, 'second');
    if (via === 'group') return [...run, ...common, ...device(this.uuid, 'card'), ...second];
    return [
      ...run, 'sh', '-c', `exec 8<>/dev/iommu 9<>/dev/vfio/devices/${this.#lab.cdev(this.uuid)}; exec "$@"`, 'sh',
      ...common, '-object', 'iommufd,id=iommufd0,fd=8', '-device', `vfio-pci,fd=9,iommufd=iommufd0,id=card,${properties}`,
    ];
  }

  #vmm({ via, also, busy, stopped, properties: more }: MachineOptions, incoming: readonly string[] | undefined): string[] {
    const properties = [PROPERTIES, ...(more === undefined ? [] : [more])].join(',');
    return [
      ...MDEVSIM, 'vmm', '--lab', this.#lab.dir, '--ram', '64M',
      '--device', `${this.uuid},id=card,${properties}${via === 'cdev' ? ',iommufd=on' : ''}`,
      ...(also === undefined ? [] : ['--device', `${also},id=second,${properties}`]),
      ...(busy === true ? ['--guest-load', 'pages=2000,bytes=0'] : []),
      // What that version of QEMU says before transitions.
      ...(qemuMajor() >= 11 ? ['--prepare-events', 'merged'] : []), ...(stopped === true ? ['-S'] : []),
      '--qmp', `unix:${this.#socket('qmp')}`, ...(incoming === undefined ? [] : [`--${incoming[0]}`, incoming[1] ?? '']),
    ];
  }

  #socket(name: string): string {
    return join(this.#lab.scratch, `${this.#name}.${name}`);
  }
}
