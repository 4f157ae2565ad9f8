/** The source's side of migration, as commands see it. Source: QEMU's migration/migration.c: qmp_migrate() and the like. */
import { isErrno } from '../../abi/errno.js';
import type { NamedDescriptors } from '../qmp/descriptors.js';
import { QmpError } from '../qmp/error.js';
import type { Json } from '../qmp/json-parser.js';
import { errorText } from './error-text.js';
import type { VfioPciDevice } from '../vm/device.js';
import type { MigrationAddress } from './address.js';
import { OutgoingRun } from './outgoing-run.js';
import type { MigrationContext } from './outgoing-run.js';
import { MigrationState } from './state.js';
import type { MigrationStatus } from './state.js';

export class OutgoingMigration {
  readonly state: MigrationState;
  readonly #context: MigrationContext;
  readonly #onFault: (error: unknown) => void;
  #run: OutgoingRun | undefined;

  /** `onFault`: a defect in the migration itself. */
  constructor(context: MigrationContext, onFault: (error: unknown) => void) {
    const { vm, capabilities } = context;
    this.#context = context;
    this.#onFault = onFault;
    this.state = new MigrationState((status) => {
      if (capabilities.has('events')) vm.environment.event('MIGRATION', { status });
    });
    vm.migrationIsRunning = () => this.state.running;
    vm.failMigration = (error) => this.#run?.deviceFailed(error) ?? false;
  }

  /**
   * qmp_migrate(), from migrate_prepare() on: on the main loop. Throws QmpError; then nothing has changed, but for `fd:`, whose
   * sockets are in `descriptors`.
   */
  async migrate(address: MigrationAddress, descriptors?: NamedDescriptors): Promise<void> {
    this.#check();
    await this.#context.steps.reach('save_prepare');
    this.#savePrepare();
    this.state.begin();
    const run = new OutgoingRun(this.#context, this.state);
    this.#run = run;
    try {
      const open = run.open(address, descriptors);
      void run.run(open).catch(this.#onFault);
    } catch (error) {
      this.state.setError((error as Error).message);
      this.state.set('setup', 'failed');
      this.#context.vm.notifiers.call('failed', this.#context.parameters.mode);
      for (const device of this.#context.vm.devices) if (device.notifies) device.noticeEnd();
      throw error;
    }
  }

  /** migrate_cancel */
  cancel(): void {
    this.#run?.cancel();
  }

  /** This process ends. */
  abandon(): void {
    this.#run?.abandon();
  }

  /** migrate-continue. Throws QmpError. */
  proceed(status: MigrationStatus): void {
    if (this.state.status !== status) throw new QmpError(`Migration not in expected state: ${this.state.status}`);
    this.#run?.proceed();
  }

  /** fill_source_migration_info() */
  info(): { [key: string]: Json } {
    const { vm } = this.#context;
    const { status, error } = this.state;
    // QEMU puts each one before those that it has put there, the newest first.
    const reasons = vm.blockers.reasons().reverse();
    const blocked = reasons.length === 0 ? {} : { 'blocked-reasons': reasons };
    const failure = error === undefined ? {} : { 'error-desc': error };
    const statistics = this.#run?.statistics;
    const active = this.state.is('active', 'cancelling', 'pre-switchover', 'device');
    if (status === 'none') return blocked;
    if (statistics === undefined || (!active && status !== 'completed')) return { status, ...blocked, ...failure };
    const vfio = vm.devices.length > 0 && vm.devices.every(({ migration, realizeBlocker }) =>
      migration !== undefined && realizeBlocker === undefined);
    return {
      ...(active ? { 'expected-downtime': statistics.expectedDowntime } : {}),
      ...blocked, ...failure, status, 'setup-time': statistics.setupTime,
      ...(active ? {} : { downtime: statistics.downtime }),
      'total-time': statistics.totalTime, 'ram': statistics.ram(active),
      ...(vfio ? { vfio: { transferred: statistics.vfioTransferred } } : {}),
    };
  }

  /** migrate_prepare(): throws QmpError for what forbids a migration now. */
  #check(): void {
    const { vm, capabilities, parameters } = this.#context;
    if (this.state.running || this.#run?.unfinished === true) throw new QmpError("There's a migration process in progress");
    if (vm.state === 'inmigrate') throw new QmpError('Guest is waiting for an incoming migration');
    if (vm.state === 'postmigrate') throw new QmpError("Can't migrate the vm that was paused due to previous migration");
    const [reason] = vm.blockers.reasons(parameters.mode);
    if (reason !== undefined) throw new QmpError(reason);
    const { missing } = capabilities;
    if (missing !== undefined) throw new QmpError(`mdevsim vmm does not have the capability '${missing}'`);
    if (parameters.mode !== 'normal') throw new QmpError(`mdevsim vmm does not have the migration mode '${parameters.mode}'`);
    if (parameters.list()['tls-creds'] !== '') throw new QmpError('mdevsim vmm does not have TLS');
  }

  /** qemu_savevm_state_prepare(): vfio_save_prepare() of every device, then, with policy `notify`, the notices. */
  #savePrepare(): void {
    const { vm, capabilities } = this.#context;
    const devices = vm.devices.filter(({ migration }) => migration !== undefined);
    for (const { name } of devices) {
      if (capabilities.has('background-snapshot')) {
        throw new QmpError(`${name}: VFIO migration is not supported with background snapshot`);
      }
      if (capabilities.has('postcopy-ram')) {
        throw new QmpError(`${name}: VFIO migration is not supported with postcopy migration`);
      }
    }
    if (capabilities.has('postcopy-ram')) throw new QmpError("mdevsim vmm does not have the capability 'postcopy-ram'");
    if (capabilities.has('background-snapshot')) {
      throw new QmpError("mdevsim vmm does not have the capability 'background-snapshot'");
    }
    const told: VfioPciDevice[] = [];
    for (const device of vm.devices) {
      if (!device.notifies) continue;
      try {
        device.noticeStart();
        told.push(device);
      } catch (error) {
        for (const one of told.reverse()) one.noticeEnd();
        throw isErrno(error) ? new QmpError(`${device.name}: The driver refused the start of a migration: ${errorText(error)}`)
          : error;
      }
    }
  }
}
