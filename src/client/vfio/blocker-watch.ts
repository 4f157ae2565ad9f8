/**
 * The blocker's eventfd, which stock QEMU does not have: the device's interrupt one past the standard ones says that its
 * `migration_block` has changed (and other ones that another such attribute has). The main loop then reads what the device wishes now, and adds or deletes a blocker; a signal
 * says only that something changed, so ten of them may be one.
 *
 * A refused blocker (EBUSY: the migration was there first) is logged, and that is all: the attribute says 1, and the device
 * migrates all the same.
 */
import { readFileSync } from 'node:fs';
import { isErrno } from '../../abi/errno.js';
import type { MainLoop } from '../main-loop.js';
import type { MigrationBlocker } from '../vm/blockers.js';
import { BlockerRefused } from '../vm/blockers.js';
import type { OnOffAuto } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { Vm } from '../vm/vm.js';
import { DeviceIrq, irqCount } from './irqs.js';

/** An attribute that blocks migration while it has a value. */
export interface WatchedAttribute {
  readonly name: string;
  /** The value's first character. */
  readonly blocks: '0' | '1';
  /** Interrupts that say that it has changed. */
  readonly indexes: readonly number[];
}

/** The lab's own: `index` is the number of the device's standard interrupts. */
export const migrationBlock = (index: number): WatchedAttribute => ({ name: 'migration_block', blocks: '1', indexes: [index] });

export interface BlockableDevice {
  readonly fd: number;
  readonly name: string;
  readonly options: { readonly sysfsdev: string; readonly enableMigration?: OnOffAuto | undefined };
  enableMigration: OnOffAuto;
  /** Any of its attributes blocks it. */
  readonly blocked: boolean;
}

export class BlockerWatch {
  readonly #device: BlockableDevice;
  readonly #vm: Vm;
  readonly #attribute: WatchedAttribute;
  readonly #irqs: readonly DeviceIrq[];
  blocker: MigrationBlocker | undefined;
  /** What the attribute was when it was read last. */
  blocked = false;

  constructor(device: BlockableDevice, attribute: WatchedAttribute, vm: Vm, loop: MainLoop) {
    this.#device = device;
    this.#attribute = attribute;
    this.#vm = vm;
    const onFault = (error: unknown): void => this.#log('error', String(error));
    this.#irqs = attribute.indexes.map((index) => new DeviceIrq(device.fd, index, loop, () => this.signalled(), onFault));
  }

  /**
   * Registers the eventfd where the device has the interrupt, and takes up a block that is there already: as for any reason that
   * a device can't migrate, that is a blocker, or with enable-migration=on an error. Throws VfioError, Errno.
   */
  enable(): void {
    if (!this.#supported()) return;
    for (const irq of this.#irqs) irq.enable();
    if (!this.#wish()) return;
    const reason = this.#reason();
    if (this.#device.enableMigration === 'on') throw new VfioError(reason);
    try {
      this.blocker = this.#vm.blockers.add(reason, ['normal']);
    } catch (error) {
      throw error instanceof BlockerRefused ? new VfioError(error.message) : error;
    }
    this.#device.enableMigration = 'off';
  }

  /** The handler. */
  signalled(): void {
    const blocks = this.#wish();
    this.#device.enableMigration = this.#device.blocked ? 'off' : this.#device.options.enableMigration ?? 'auto';
    if (blocks) this.#block();
    else this.#unblock();
  }

  close(): void {
    for (const irq of this.#irqs) irq.close();
    if (this.blocker !== undefined) this.#vm.blockers.delete(this.blocker);
    this.blocker = undefined;
  }

  #block(): void {
    if (this.blocker !== undefined) return;
    try {
      this.blocker = this.#vm.blockers.add(this.#reason(), ['normal']);
      this.#log('info', `${this.#text}: migration is blocked`);
    } catch (error) {
      if (!(error instanceof BlockerRefused)) throw error;
      this.#log('warning', `${this.#text}, but the blocker was refused with ${error.code}: ${error.message}`);
    }
  }

  #unblock(): void {
    if (this.blocker === undefined) return this.#log('info', `${this.#text}: there was no blocker`);
    this.#vm.blockers.delete(this.blocker);
    this.blocker = undefined;
    this.#log('info', `${this.#text}: migration is no longer blocked`);
  }

  #reason(): string {
    return `${this.#device.name}: Migration is disabled for VFIO device`;
  }

  /** Whether the attribute blocks now. */
  #wish(): boolean {
    const value = readFileSync(`${this.#device.options.sysfsdev}/${this.#attribute.name}`, 'latin1');
    this.blocked = value.startsWith(this.#attribute.blocks);
    return this.blocked;
  }

  get #text(): string {
    const { name, blocks } = this.#attribute;
    return `${name} is ${this.blocked ? blocks : 1 - Number(blocks)}`;
  }

  #supported(): boolean {
    try {
      return this.#attribute.indexes.every((index) => irqCount(this.#device.fd, index) > 0);
    } catch (error) {
      if (isErrno(error)) return false;
      throw error;
    }
  }

  #log(level: 'info' | 'warning' | 'error', message: string): void {
    this.#vm.environment.log(level, `${this.#device.name}: ${message}`);
  }
}
