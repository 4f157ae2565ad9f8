/**
 * The blocker's eventfd, which stock QEMU does not have: the device's interrupt one past the standard ones says that its
 * `migration_block` has changed. The main loop then reads what the device wishes now, and adds or deletes a blocker; a signal
 * says only that something changed, so ten of them may be one.
 *
 * A refused blocker (EBUSY: the migration was there first) is logged, and that is all: the attribute says 1, and the device
 * migrates all the same.
 */
import { readFileSync } from 'node:fs';
import { isErrno } from '../../abi/errno.js';
import { VFIO_PCI_NUM_IRQS } from '../../abi/vfio.js';
import type { MainLoop } from '../main-loop.js';
import type { MigrationBlocker } from '../vm/blockers.js';
import { BlockerRefused } from '../vm/blockers.js';
import type { OnOffAuto } from '../vm/device.js';
import { VfioError } from '../vm/device.js';
import type { Vm } from '../vm/vm.js';
import { DeviceIrq, irqCount } from './irqs.js';

const ATTRIBUTE = 'migration_block';

export interface BlockableDevice {
  readonly fd: number;
  readonly name: string;
  readonly options: { readonly sysfsdev: string; readonly enableMigration?: OnOffAuto | undefined };
  enableMigration: OnOffAuto;
}

export class BlockerWatch {
  readonly #device: BlockableDevice;
  readonly #vm: Vm;
  readonly #irq: DeviceIrq;
  blocker: MigrationBlocker | undefined;

  constructor(device: BlockableDevice, vm: Vm, loop: MainLoop) {
    this.#device = device;
    this.#vm = vm;
    const onFault = (error: unknown): void => this.#log('error', String(error));
    this.#irq = new DeviceIrq(device.fd, VFIO_PCI_NUM_IRQS, loop, () => this.signalled(), onFault);
  }

  /**
   * Registers the eventfd where the device has the interrupt, and takes up a block that is there already: as for any reason that
   * a device can't migrate, that is a blocker, or with enable-migration=on an error. Throws VfioError, Errno.
   */
  enable(): void {
    if (!this.#supported()) return;
    this.#irq.enable();
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
    const blocked = this.#wish();
    this.#device.enableMigration = blocked ? 'off' : this.#device.options.enableMigration ?? 'auto';
    if (blocked) this.#block();
    else this.#unblock();
  }

  close(): void {
    this.#irq.close();
    if (this.blocker !== undefined) this.#vm.blockers.delete(this.blocker);
    this.blocker = undefined;
  }

  #block(): void {
    if (this.blocker !== undefined) return;
    try {
      this.blocker = this.#vm.blockers.add(this.#reason(), ['normal']);
      this.#log('info', `${ATTRIBUTE} is 1: migration is blocked`);
    } catch (error) {
      if (!(error instanceof BlockerRefused)) throw error;
      this.#log('warning', `${ATTRIBUTE} is 1, but the blocker was refused with ${error.code}: ${error.message}`);
    }
  }

  #unblock(): void {
    if (this.blocker === undefined) return this.#log('info', `${ATTRIBUTE} is 0: there was no blocker`);
    this.#vm.blockers.delete(this.blocker);
    this.blocker = undefined;
    this.#log('info', `${ATTRIBUTE} is 0: migration is no longer blocked`);
  }

  #reason(): string {
    return `${this.#device.name}: Migration is disabled for VFIO device`;
  }

  #wish(): boolean {
    return readFileSync(`${this.#device.options.sysfsdev}/${ATTRIBUTE}`, 'latin1').startsWith('1');
  }

  #supported(): boolean {
    try {
      return irqCount(this.#device.fd, VFIO_PCI_NUM_IRQS) > 0;
    } catch (error) {
      if (isErrno(error)) return false;
      throw error;
    }
  }

  #log(level: 'info' | 'warning' | 'error', message: string): void {
    this.#vm.environment.log(level, `${this.#device.name}: ${message}`);
  }
}
