/**
 * Migration blockers. Source: QEMU's migration/migration.c: migrate_add_blocker_modes(), migrate_del_blocker().
 *
 * Order of the checks: --only-migratable, then busy. A refused blocker is not kept.
 */
export const MIGRATION_MODES = ['normal', 'cpr-reboot', 'cpr-transfer'] as const;
export type MigrationMode = (typeof MIGRATION_MODES)[number];

/** `message` is QEMU's text with the reason at its end. */
export class BlockerRefused extends Error {
  override readonly name = 'BlockerRefused';

  constructor(readonly code: 'EACCES' | 'EBUSY', message: string) {
    super(message);
  }
}

export interface MigrationBlocker {
  readonly reason: string;
  readonly modes: ReadonlySet<MigrationMode>;
}

export class MigrationBlockers {
  /** Newest first, as the first one that counts is found. */
  readonly #blockers: MigrationBlocker[] = [];
  readonly #isBusy: () => boolean;
  readonly onlyMigratable: boolean;

  /** `isBusy`: run state save-vm, or a migration is running (setup ... device, cancelling). */
  constructor(isBusy: () => boolean, onlyMigratable = false) {
    this.#isBusy = isBusy;
    this.onlyMigratable = onlyMigratable;
  }

  /** Throws BlockerRefused. */
  add(reason: string, modes: readonly MigrationMode[] = MIGRATION_MODES): MigrationBlocker {
    if (this.onlyMigratable && modes.includes('normal')) {
      throw new BlockerRefused('EACCES', `disallowing migration blocker (--only-migratable) for: ${reason}`);
    }
    if (this.#isBusy()) {
      throw new BlockerRefused('EBUSY', `disallowing migration blocker (migration/snapshot in progress) for: ${reason}`);
    }
    const blocker = { reason, modes: new Set(modes) };
    this.#blockers.unshift(blocker);
    return blocker;
  }

  delete(blocker: MigrationBlocker): void {
    const at = this.#blockers.indexOf(blocker);
    if (at >= 0) this.#blockers.splice(at, 1);
  }

  /** One that was added with that reason. */
  find(reason: string): MigrationBlocker | undefined {
    return this.#blockers.find((blocker) => blocker.reason === reason);
  }

  /** What a migration of that mode is refused with; newest first. */
  reasons(mode: MigrationMode = 'normal'): string[] {
    return this.#blockers.filter(({ modes }) => modes.has(mode)).map(({ reason }) => reason);
  }
}
