/** Vm: one unmodified QEMU under `mdevsim run`, with one of the lab's devices. */
import { join } from 'node:path';
import type { MigrationInfo, MigrationStatus, QmpClient, QmpEvent } from '../../src/client/qmp/client.js';
import { MDEVSIM } from '../cli/mdevsim.js';
import { Child } from './child.js';
import { until } from './deadline.js';
import { connectMonitor } from './monitor.js';
import type { TestLab } from './lab.js';
import { Qtest } from './qtest.js';

export const QEMU = process.env['MDEVSIM_TEST_QEMU'] ?? 'qemu-system-x86_64';
const FINAL: readonly MigrationStatus[] = ['completed', 'failed', 'cancelled'];

export interface VmOptions {
  readonly uuid: string;
  /** `group`: sysfsdev, group and type1 container. `cdev`: descriptors of a cdev and an iommufd. */
  readonly via: 'group' | 'cdev';
  /** Waits for a migration. */
  readonly incoming?: boolean;
  /** More arguments: a kernel, a serial console. */
  readonly args?: readonly string[];
  /** Memory; default 64M. */
  readonly memory?: string;
  /** Properties of the device; default `migration-events=on`. */
  readonly device?: string;
  /** Whether memory and registers are to be read and written as by the guest's CPU. */
  readonly qtest?: boolean;
}

let count = 0;

export class Vm {
  readonly child: Child;
  readonly #lab: TestLab;
  readonly #name: string;
  readonly #options: VmOptions;
  #qmp: QmpClient | undefined;
  #qtest: Qtest | undefined;

  constructor(lab: TestLab, options: VmOptions) {
    this.#lab = lab;
    this.#options = options;
    this.#name = `vm${++count}`;
    const device = `${options.device ?? 'migration-events=on'},id=card`;
    const common = [
      QEMU, '-M', 'q35,accel=tcg', '-m', options.memory ?? '64M', '-nodefaults', '-display', 'none', '-no-user-config',
      '-qmp', `unix:${this.#socket('qmp')},server=on,wait=off`,
      ...(options.qtest === true ? ['-qtest', `unix:${this.#socket('qtest')},server=on,wait=off`, '-qtest-log', 'none'] : []),
      ...(options.incoming === true ? ['-incoming', this.uri] : []), ...(options.args ?? []),
    ];
    const run = [...MDEVSIM, 'run', '--lab', lab.dir, '--'];
    const argv = options.via === 'group'
      ? [...run, ...common, '-device', `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${options.uuid},${device}`]
      : [...run, 'sh', '-c', `exec 8<>/dev/iommu 9<>/dev/vfio/devices/${lab.cdev(options.uuid)}; exec "$@"`, 'sh',
        ...common, '-object', 'iommufd,id=iommufd0,fd=8', '-device', `vfio-pci,fd=9,iommufd=iommufd0,${device}`];
    this.child = new Child(`QEMU ${this.#name} (${options.via})`, argv);
  }

  get qmp(): QmpClient {
    if (this.#qmp === undefined) throw new Error(`${this.#name} is not ready`);
    return this.#qmp;
  }
  get qtest(): Qtest {
    if (this.#qtest === undefined) throw new Error(`${this.#name} has no qtest socket`);
    return this.#qtest;
  }
  /** Where it waits for a migration. */
  get uri(): string {
    return `unix:${this.#socket('migration')}`;
  }

  async ready(): Promise<void> {
    this.#qmp = await connectMonitor(this.#socket('qmp'), this.child);
    await this.#qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
    if (this.#options.qtest === true) this.#qtest = await Qtest.connect(this.#socket('qtest'), 30, () => this.child.output);
  }

  async isRunning(): Promise<boolean> {
    return (await this.qmp.execute('query-status')).running;
  }
  migration(): Promise<MigrationInfo> {
    return this.qmp.execute('query-migrate');
  }

  /** Starts to migrate to `target`. Slow: so slow that it does not end by itself. */
  async startMigration(target: Vm, slow = false): Promise<void> {
    await this.qmp.execute('migrate-set-parameters', { 'max-bandwidth': slow ? 20_000 : 0, 'downtime-limit': 2000 });
    if (slow) await this.qmp.execute('migrate-set-parameters', { 'downtime-limit': 1 });
    await this.qmp.execute('migrate', { uri: target.uri });
  }

  /** Lets a slow migration end. */
  async speedUp(): Promise<void> {
    await this.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 0, 'downtime-limit': 2000 });
  }

  /** Until query-migrate says so. Throws when the migration has ended otherwise. */
  async reached(status: MigrationStatus, seconds = 20): Promise<MigrationInfo> {
    return until(seconds, `${this.#name}'s migration to be ${status}`, async () => {
      const info = await this.migration();
      if (info.status === status) return info;
      if (info.status !== undefined && FINAL.includes(info.status)) {
        throw new Error(`the migration ${info.status}: ${info['error-desc'] ?? ''}`);
      }
      return undefined;
    }, () => this.child.output);
  }

  /** The whole of it; the target runs the machine afterwards. */
  async migrate(target: Vm): Promise<MigrationInfo> {
    await this.startMigration(target);
    const info = await this.reached('completed');
    await target.deviceRuns();
    return info;
  }

  /** QEMU says RESUME before it starts the devices. */
  async deviceRuns(): Promise<void> {
    const { device, uuid } = this.#options;
    const isRunning = ({ event, data }: QmpEvent): boolean => event === 'VFIO_MIGRATION' && data['device-state'] === 'running';
    if (device === undefined) await this.qmp.event(isRunning, { what: 'the target device to run' });
    else await until(20, 'the target device to run', () => (this.#lab.state(uuid) === 'RUNNING' ? true : undefined));
  }

  /** Device states that QEMU says it has brought about. */
  get deviceStates(): readonly unknown[] {
    return this.qmp.eventValues('VFIO_MIGRATION', 'device-state');
  }

  /** I/O port of the card's first BAR, as the firmware has placed it; waits for the firmware. */
  async ioBase(): Promise<number> {
    return Number(await this.bar(/4348:3253[^]*?BAR0: I\/O at 0x([0-9a-f]+) /));
  }
  /** A BAR's address: what is in the pattern's parentheses in `info pci`, once the firmware has placed it. */
  async bar(pattern: RegExp): Promise<bigint> {
    return until(20, 'the firmware to place the card', async () => {
      const text = await this.qmp.execute('human-monitor-command', { 'command-line': 'info pci' });
      const base = pattern.exec(text)?.[1];
      return base === undefined || /^f+$/.test(base) ? undefined : BigInt(`0x${base}`);
    });
  }
  async out(port: number, value: number): Promise<void> {
    await this.qmp.execute('human-monitor-command', { 'command-line': `o /b 0x${port.toString(16)} 0x${value.toString(16)}` });
  }
  async in(port: number): Promise<number> {
    const text = await this.qmp.execute('human-monitor-command', { 'command-line': `i /b 0x${port.toString(16)}` });
    return parseInt(/= (0x[0-9a-f]+)/.exec(text)?.[1] ?? 'x', 16);
  }

  async quit(): Promise<void> {
    await this.qmp.execute('quit').catch(() => undefined);
    await this.child.stop('SIGTERM');
  }

  kill(): void {
    this.#qmp?.close();
    this.#qtest?.close();
    this.child.kill();
  }

  #socket(name: string): string {
    return join(this.#lab.scratch, `${this.#name}.${name}`);
  }
}
