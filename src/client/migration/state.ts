/** Status of a migration, and its event. Source: QEMU's migration/migration.c: migrate_set_state(), migration_is_running(). */
export const MIGRATION_STATUSES = [
  'none', 'setup', 'cancelling', 'cancelled', 'active', 'postcopy-active', 'postcopy-paused', 'postcopy-recover-setup',
  'postcopy-recover', 'completed', 'failed', 'colo', 'pre-switchover', 'device', 'wait-unplug',
] as const;
export type MigrationStatus = (typeof MIGRATION_STATUSES)[number];

const RUNNING: ReadonlySet<MigrationStatus> = new Set(['setup', 'active', 'pre-switchover', 'device', 'cancelling']);

export class MigrationState {
  readonly #changed: (status: MigrationStatus) => void;
  #status: MigrationStatus = 'none';
  /** The first error, error-desc of query-migrate. */
  error: string | undefined;

  /** `changed` is called on every change: it sends the event where that capability is on. */
  constructor(changed: (status: MigrationStatus) => void) {
    this.#changed = changed;
  }

  get status(): MigrationStatus {
    return this.#status;
  }
  get running(): boolean {
    return RUNNING.has(this.#status);
  }

  is(...statuses: readonly MigrationStatus[]): boolean {
    return statuses.includes(this.#status);
  }

  /** migrate_init(): a new migration, from whatever the last one left. */
  begin(): void {
    this.error = undefined;
    this.#status = 'setup';
    this.#changed('setup');
  }

  /** From `from` to `to`; does nothing and says false where it is in another state by now. */
  set(from: MigrationStatus, to: MigrationStatus): boolean {
    if (this.#status !== from) return false;
    this.#status = to;
    this.#changed(to);
    return true;
  }

  /** Keeps the first one. */
  setError(message: string): void {
    this.error ??= message;
  }
}
