/** Migration capabilities. Source: QEMU's qapi/migration.json: MigrationCapability; migration/options.c: migrate_caps_check(). */
import { QmpError } from '../qmp/error.js';

export const CAPABILITIES = [
  'xbzrle', 'rdma-pin-all', 'auto-converge', 'zero-blocks', 'events', 'postcopy-ram', 'x-colo', 'release-ram', 'return-path',
  'pause-before-switchover', 'multifd', 'dirty-bitmaps', 'postcopy-blocktime', 'late-block-activate', 'x-ignore-shared',
  'validate-uuid', 'background-snapshot', 'zero-copy-send', 'postcopy-preempt', 'switchover-ack', 'dirty-limit', 'mapped-ram',
] as const;
export type Capability = (typeof CAPABILITIES)[number];

/**
 * What changes nothing here because it is so anyway, or concerns what this VMM does not have; the rest of what it lacks it
 * refuses.
 */
const HARMLESS: ReadonlySet<Capability> = new Set([
  'events', 'return-path', 'pause-before-switchover', 'rdma-pin-all', 'zero-blocks', 'late-block-activate', 'dirty-bitmaps',
  'postcopy-blocktime', 'release-ram', 'auto-converge', 'validate-uuid', 'switchover-ack',
  // Refused by save_prepare, with QEMU's texts, where a device is concerned.
  'postcopy-ram', 'background-snapshot',
]);

export class Capabilities {
  #on: ReadonlySet<Capability> = new Set();

  has(capability: Capability): boolean {
    return this.#on.has(capability);
  }
  list(): { state: boolean; capability: Capability }[] {
    return CAPABILITIES.map((capability) => ({ state: this.has(capability), capability }));
  }

  /** All or none. Throws QmpError. */
  set(changes: readonly { readonly capability: Capability; readonly state: boolean }[]): void {
    const wanted = new Set(this.#on);
    for (const { capability, state } of changes) {
      if (state) wanted.add(capability);
      else wanted.delete(capability);
    }
    check(wanted);
    this.#on = wanted;
  }

  /** What is on and not implemented: a migration would not be what was asked for. */
  get missing(): Capability | undefined {
    return [...this.#on].find((capability) => !HARMLESS.has(capability));
  }
}

interface Conflict {
  /** All of these are on... */
  readonly on: readonly Capability[];
  /** ...and this one is not. */
  readonly off?: Capability;
  readonly text: string;
}

/** In QEMU's order: the first that applies is said. */
const CONFLICTS: readonly Conflict[] = [
  { on: ['postcopy-ram', 'x-ignore-shared'], text: 'Postcopy is not compatible with ignore-shared' },
  { on: ['postcopy-ram', 'multifd'], text: 'Postcopy is not yet compatible with multifd' },
  ...([
    'postcopy-ram', 'dirty-bitmaps', 'postcopy-blocktime', 'late-block-activate', 'return-path', 'multifd', 'pause-before-switchover',
    'auto-converge', 'release-ram', 'rdma-pin-all', 'xbzrle', 'x-colo', 'validate-uuid', 'zero-copy-send',
  ] as const).map((other) => ({
    on: ['background-snapshot', other] as const, text: `Background-snapshot is not compatible with ${other}`,
  })),
  { on: ['zero-copy-send'], off: 'multifd', text: 'Zero copy only available for non-compressed non-TLS multifd migration' },
  { on: ['postcopy-preempt'], off: 'postcopy-ram', text: 'Postcopy preempt requires postcopy-ram' },
  { on: ['multifd', 'xbzrle'], text: 'Multifd is not compatible with xbzrle' },
  { on: ['switchover-ack'], off: 'return-path', text: "Capability 'switchover-ack' requires capability 'return-path'" },
  { on: ['dirty-limit', 'auto-converge'], text: 'dirty-limit conflicts with auto-converge either of then available currently' },
  { on: ['dirty-limit'], text: "dirty-limit requires KVM with accelerator property 'dirty-ring-size' set" },
  { on: ['mapped-ram', 'xbzrle'], text: 'Mapped-ram migration is incompatible with xbzrle' },
  { on: ['mapped-ram', 'postcopy-ram'], text: 'Mapped-ram migration is incompatible with postcopy' },
];

function check(wanted: ReadonlySet<Capability>): void {
  const found = CONFLICTS.find(({ on, off }) => on.every((one) => wanted.has(one)) && (off === undefined || !wanted.has(off)));
  if (found !== undefined) throw new QmpError(found.text);
}
