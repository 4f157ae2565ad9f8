/**
 * Migration notifiers. Source: QEMU's include/migration/misc.h, migration/migration.c: migration_call_notifiers().
 *
 * Legal orders: setup, then done or failed; or failed alone, where the connection failed. Only setup may throw, which ends the
 * migration before its thread exists. The incoming side calls none.
 */
import type { MigrationMode } from './blockers.js';

export type MigrationNotice = 'setup' | 'done' | 'failed';
export type MigrationNotifier = (notice: MigrationNotice) => void;

export class MigrationNotifiers {
  readonly #notifiers: { readonly notifier: MigrationNotifier; readonly modes: ReadonlySet<MigrationMode> }[] = [];

  /** Returns the function that takes it out again. */
  add(notifier: MigrationNotifier, modes: readonly MigrationMode[] = ['normal']): () => void {
    const entry = { notifier, modes: new Set(modes) };
    this.#notifiers.unshift(entry);
    return () => {
      const at = this.#notifiers.indexOf(entry);
      if (at >= 0) this.#notifiers.splice(at, 1);
    };
  }

  /** The newest first, as notifier_with_return_list_add() has them. `setup`: the first error ends it and is thrown. */
  call(notice: MigrationNotice, mode: MigrationMode = 'normal'): void {
    for (const { notifier, modes } of [...this.#notifiers]) if (modes.has(mode)) notifier(notice);
  }
}
