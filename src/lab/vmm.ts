/**
 * Vmm: one `mdevsim vmm` as a child process, for tests. It ends with this process at the latest.
 *
 *   const source = await Vmm.start({ lab, devices: [`${uuid},id=vf0`] });
 *   await source.qmp.execute('migrate', { uri: target.uri });
 *   await source.migrated();
 *   await source.end();
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MigrationInfo } from '../client/qmp/client.js';
import { QmpClient } from '../client/qmp/client.js';
import { ownCommand } from './own-command.js';

export interface VmmStartOptions {
  /** The lab, or its mount point, which another process may serve or this one. */
  readonly lab: string | { readonly dir: string };
  /** As --device takes them: `UUID,id=vf0`. */
  readonly devices?: readonly string[];
  /** Wait for a migration: at a `uri` that nobody else has; at this one, as --incoming takes it; or `defer`. */
  readonly incoming?: boolean | string;
  /** More options: `--break`, `save_setup`. */
  readonly args?: readonly string[];
  /** How to call mdevsim, in the pid namespace of this process. Default: this very copy of it. */
  readonly command?: readonly string[];
}

/** Characters of its output that are kept. */
const OUTPUT = 64 << 10;
/** ms until it must be ready, and until it must have ended. */
const START = 30_000;
const END = 10_000;

export class Vmm {
  readonly process: ChildProcess;
  /** Where it waits for a migration, or one that is told to later may. */
  readonly uri: string;
  /** Exit status; null where a signal ended it. */
  readonly ended: Promise<number | null>;
  readonly #scratch: string;
  #output = '';
  #qmp: QmpClient | undefined;

  private constructor(options: VmmStartOptions) {
    this.#scratch = mkdtempSync(join(tmpdir(), 'mdevsim-vmm-'));
    const { lab, incoming = false } = options;
    const own = `unix:${join(this.#scratch, 'migration')}`;
    this.uri = typeof incoming === 'string' && incoming !== 'defer' ? incoming : own;
    const [file = '', ...args] = [
      ...(options.command ?? ownCommand()), 'vmm', '--lab', typeof lab === 'string' ? lab : lab.dir, '--qmp', `unix:${this.socket}`, '--log',
      '--for', String(process.pid),
      ...(options.devices ?? []).flatMap((device) => ['--device', device]),
      ...(incoming === false ? [] : ['--incoming', incoming === true ? own : incoming]), ...(options.args ?? []),
    ];
    this.process = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (data: Buffer): void => { this.#output = (this.#output + data.toString()).slice(-OUTPUT); };
    this.process.stdout?.on('data', keep);
    this.process.stderr?.on('data', keep);
    this.ended = new Promise((resolve) => {
      this.process.once('error', (error) => {
        this.#output += String(error);
        resolve(null);
      });
      this.process.once('close', (status) => resolve(status));
    });
    void this.ended.then(() => rmSync(this.#scratch, { recursive: true, force: true }));
  }

  /** Resolves when it can be used. Rejects with what it said when it could not start. */
  static async start(options: VmmStartOptions): Promise<Vmm> {
    const vmm = new Vmm(options);
    try {
      await vmm.#ready();
      vmm.#qmp = await QmpClient.connect(vmm.socket);
      await vmm.qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
      return vmm;
    } catch (error) {
      await vmm.kill();
      throw error;
    }
  }

  /** Path of its QMP socket, for more clients. */
  get socket(): string {
    return join(this.#scratch, 'qmp');
  }
  /** A client that has turned the capability `events` on. */
  get qmp(): QmpClient {
    if (this.#qmp === undefined) throw new Error('not ready');
    return this.#qmp;
  }
  /** The last part of what it said, `--log` included. */
  get output(): string {
    return this.#output;
  }

  /** What VFIO_MIGRATION events named, in order; for devices with migration-events=on. */
  get deviceStates(): readonly unknown[] {
    return this.qmp.eventValues('VFIO_MIGRATION', 'device-state');
  }

  /**
   * The end of the outgoing migration that was begun last: call it when `migrate` has been answered. With `after`, the first end
   * among events since that number. Rejects where it did not complete.
   */
  async migrated(after?: number): Promise<MigrationInfo> {
    const begun = this.qmp.events.findLastIndex(({ event, data }) => event === 'MIGRATION' && data['status'] === 'setup');
    await this.qmp.status(['completed', 'failed', 'cancelled'], after ?? Math.max(begun, 0));
    const info = await this.qmp.execute('query-migrate');
    if (info.status !== 'completed') throw new Error(`the migration ${info.status}: ${info['error-desc'] ?? ''}\n${this.output}`);
    return info;
  }

  /** Until a break point holds it; at once where one does. With `after`: or has, among events since that number. */
  async held(step: string, after?: number): Promise<void> {
    const now = this.qmp.events.length;
    if (after === undefined && (await this.qmp.execute('x-query-mdevsim-steps')).held.includes(step)) return;
    await this.qmp.event(({ event, data }) => event === 'X_MDEVSIM_BREAK' && data['step'] === step, { after: after ?? now,
      what: `the break at ${step}` });
  }

  /** `quit`, and waits. */
  async end(): Promise<number | null> {
    this.#qmp?.execute('quit').catch(() => undefined);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), END);
    const status = await this.ended;
    clearTimeout(timer);
    this.#qmp?.close();
    return status;
  }

  /** At once. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
    this.#qmp?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  async #ready(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`not ready after ${START} ms:\n${this.#output}`)), START);
      const look = (): void => {
        if (!/^ready/m.test(this.#output)) return;
        clearTimeout(late);
        resolve();
      };
      this.process.stdout?.on('data', look);
      void this.ended.then((status) => {
        clearTimeout(late);
        reject(new Error(`mdevsim vmm ended with ${status}: ${this.#output}`));
      });
    });
  }
}
