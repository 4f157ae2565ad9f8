/**
 * Vmm: one `mdevsim vmm` as a child process, for tests. It ends with this process at the latest.
 *
 *   const source = await Vmm.start({ lab, devices: [`${uuid},id=vf0`] });
 *   await source.qmp.execute('migrate', { uri: target.uri });
 *   await source.migrated();
 *   await source.end();
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MigrationInfo } from '../client/qmp/client.js';
import { QmpClient } from '../client/qmp/client.js';
import { Program } from './program.js';

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

export class Vmm {
  /** Where it waits for a migration, or one that is told to later may. */
  readonly uri: string;
  readonly #program: Program;
  readonly #scratch: string;
  #qmp: QmpClient | undefined;

  private constructor(options: VmmStartOptions) {
    this.#scratch = mkdtempSync(join(tmpdir(), 'mdevsim-vmm-'));
    const { lab, incoming = false } = options;
    const own = `unix:${join(this.#scratch, 'migration')}`;
    this.uri = typeof incoming === 'string' && incoming !== 'defer' ? incoming : own;
    this.#program = new Program([
      'vmm', '--lab', typeof lab === 'string' ? lab : lab.dir, '--qmp', `unix:${this.socket}`, '--log',
      ...(options.devices ?? []).flatMap((device) => ['--device', device]),
      ...(incoming === false ? [] : ['--incoming', incoming === true ? own : incoming]), ...(options.args ?? []),
    ], options.command);
    void this.ended.then(() => rmSync(this.#scratch, { recursive: true, force: true }));
  }

  /** Resolves when it can be used. Rejects with what it said when it could not start. */
  static async start(options: VmmStartOptions): Promise<Vmm> {
    const vmm = new Vmm(options);
    try {
      await vmm.#program.ready(/^ready( |$)/);
      vmm.#qmp = await QmpClient.connect(vmm.socket);
      await vmm.qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
      return vmm;
    } catch (error) {
      await vmm.kill();
      throw error;
    }
  }

  get process(): ChildProcess {
    return this.#program.process;
  }
  /** Exit status; null where a signal ended it. */
  get ended(): Promise<number | null> {
    return this.#program.ended;
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
    return this.#program.output;
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
    const status = await this.#program.end();
    this.#qmp?.close();
    return status;
  }

  /** At once. */
  async kill(): Promise<void> {
    await this.#program.kill();
    this.#qmp?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
