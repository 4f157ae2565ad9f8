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

function check(on: ReadonlySet<Capability>): void {
  if (on.has('zero-copy-send')) throw new QmpError('Zero copy only available for non-compressed non-TLS multifd migration');
  if (on.has('postcopy-ram') && on.has('background-snapshot')) {
    throw new QmpError('Background-snapshot is not compatible with postcopy-ram');
  }
  if (on.has('postcopy-preempt') && !on.has('postcopy-ram')) throw new QmpError('Postcopy preempt requires postcopy-ram');
  if (on.has('switchover-ack') && !on.has('return-path')) {
    throw new QmpError("Capability 'switchover-ack' requires capability 'return-path'");
  }
  if (on.has('dirty-limit')) throw new QmpError("dirty-limit requires KVM with accelerator property 'dirty-ring-size' set");
}
