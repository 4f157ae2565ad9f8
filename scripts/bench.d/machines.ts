/** Two VMMs of one kind on one lab, for one migration each: `mdevsim vmm`, or stock QEMU. Ended, whatever happens. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QmpClient } from '../../src/client/qmp/client.js';
import type { MigrationInfo, QmpEvent } from '../../src/client/qmp/client.js';
import { until } from '../../test/e2e/deadline.js';
import { mdevsimCommand, Server } from './servers.js';

export const SOURCE = '00000000-0000-4000-8000-00000000000a';
export const TARGET = '00000000-0000-4000-8000-00000000000b';
/** Seconds until a VMM's QMP server must be there. */
const START_LIMIT = 30;
/** ms */
const MIGRATION_LIMIT = 120_000;

export type VmmKind = 'vmm' | 'qemu';

export interface Migration {
  /** Bytes of device state after the driver's own. */
  readonly state: number;
  /** More options of `mdevsim vmm`. */
  readonly options?: readonly string[];
  readonly parameters?: Readonly<Record<string, number>>;
  /** ms that the source runs before. */
  readonly settle?: number;
}

export interface Migrated {
  readonly info: MigrationInfo;
  /** ms from the command `migrate` until the target has completed. */
  readonly wall: number;
  /** Bytes of peak memory that the migration took, of the process that took more. Undefined where it is not known. */
  readonly memory: number;
}

const isEnd = ({ event, data }: QmpEvent): boolean => event === 'MIGRATION' && ['completed', 'failed', 'cancelled'].includes(String(data['status']));

const children = new Set<ChildProcess>();
/** The benchmark was interrupted. */
export function killMachines(): void {
  for (const child of children) child.kill('SIGKILL');
}

class Machine {
  readonly socket: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #alive = true;
  #errors = '';
  qmp!: QmpClient;

  constructor(root: string, kind: VmmKind, lab: string, uuid: string, scratch: string, options: readonly string[]) {
    this.socket = join(scratch, `${uuid.slice(-1)}.qmp`);
    const [node = '', program = ''] = mdevsimCommand(root, lab);
    const argv = kind === 'vmm' ? ['vmm', '--lab', lab, '--device', `${uuid},id=vf0`, '--qmp', `unix:${this.socket}`, ...options] : [
      'run', '--lab', lab, '--', 'qemu-system-x86_64', '-M', 'q35,accel=tcg', '-m', '64M', '-nodefaults', '-no-user-config', '-display', 'none',
      '-qmp', `unix:${this.socket},server=on,wait=off`, '-device', `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${uuid}`, ...options,
    ];
    this.#child = spawn(node, [program, ...argv], { stdio: ['ignore', 'ignore', 'pipe'] });
    children.add(this.#child);
    this.#child.stderr?.on('data', (data: Buffer) => { this.#errors += data.toString(); });
    this.#ended = new Promise((resolve) => this.#child.once('close', () => {
      this.#alive = false;
      children.delete(this.#child);
      resolve();
    }));
  }

  async ready(): Promise<this> {
    this.qmp = await until(START_LIMIT, 'a VMM', async () => {
      if (!this.#alive) throw new Error(`the VMM ended: ${this.#errors}`);
      return QmpClient.connect(this.socket).catch(() => undefined);
    });
    await this.qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
    return this;
  }

  /** Highest resident memory so far, bytes. /proc/PID/clear_refs begins it anew. */
  get peak(): number {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.#child.pid ?? 0}/status`, 'latin1'))?.[1] ?? NaN) * 1024;
  }
  resetPeak(): number {
    writeFileSync(`/proc/${this.#child.pid ?? 0}/clear_refs`, '5');
    return this.peak;
  }

  async end(): Promise<void> {
    if (this.#alive) this.#child.kill('SIGKILL');
    await this.#ended;
    (this.qmp as QmpClient | undefined)?.close();
  }
}

/** One migration on a lab of its own. */
export async function migrateOnce(root: string, kind: VmmKind, { state, options = [], parameters = {}, settle = 0 }: Migration): Promise<Migrated> {
  const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-bench-'));
  const server = await Server.start((dir) => mdevsimCommand(root, dir, '--mdev', `mtty-1,uuid=${SOURCE}`, '--mdev', `mtty-1,uuid=${TARGET}`));
  const machines: Machine[] = [];
  try {
    await setStateSize(server.dir, state);
    const incoming = `unix:${join(scratch, 'migration')}`;
    const source = new Machine(root, kind, server.dir, SOURCE, scratch, options);
    machines.push(source);
    const target = new Machine(root, kind, server.dir, TARGET, scratch, [kind === 'vmm' ? '--incoming' : '-incoming', incoming, ...options]);
    machines.push(target);
    await Promise.all(machines.map((machine) => machine.ready()));
    await source.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 0, ...parameters });
    await new Promise((resolve) => setTimeout(resolve, settle));
    const before = machines.map((machine) => machine.resetPeak());
    const began = performance.now();
    await source.qmp.execute('migrate', { uri: incoming });
    await Promise.all(machines.map(({ qmp }) => qmp.event(isEnd, { patience: MIGRATION_LIMIT, what: 'the end of the migration' })));
    const wall = performance.now() - began;
    const info = await source.qmp.execute('query-migrate');
    if (info.status !== 'completed') throw new Error(`the migration ${info.status ?? ''}: ${info['error-desc'] ?? ''}`);
    const memory = Math.max(...machines.map((machine, n) => machine.peak - (before[n] ?? 0)));
    return { info, wall, memory };
  } finally {
    await Promise.all(machines.map((machine) => machine.end()));
    await server.stop();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Through a shell with a time limit: this process never waits for a mount. */
async function setStateSize(dir: string, bytes: number): Promise<void> {
  const file = join(dir, 'sys/kernel/debug/mdevsim', SOURCE, 'state_size');
  const child = spawn('timeout', ['-s', 'KILL', '10', 'sh', '-c', 'echo "$1" >"$2"', 'sh', String(bytes), file], { stdio: 'inherit' });
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status !== 0) throw new Error('could not set state_size');
}
