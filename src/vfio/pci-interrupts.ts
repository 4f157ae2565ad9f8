/**
 * Interrupts of an emulated PCI device: INTx or MSI, one eventfd, never both. As samples/vfio-mdev/mtty.c: mtty_set_irqs(),
 * mtty_trigger_interrupt().
 *
 * INTx masks itself when it fires; what would fire while it is masked is lost. An eventfd belongs to the client; the device
 * holds a copy from SET_IRQS until it is replaced, unset or the device is closed.
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_IRQ_INFO_AUTOMASKED, VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_MASKABLE, VFIO_IRQ_INFO_NORESIZE, VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX,
} from '../abi/vfio.js';
import type { Caller } from '../kernfs/caller.js';
import type { VfioIrq } from './device.js';
import { EventfdTrigger } from './irqs.js';
import type { IrqSet } from './irqs.js';

/** What IRQ_INFO says; there are no other indexes. */
export const PCI_IRQS: ReadonlyMap<number, VfioIrq> = new Map([
  [VFIO_PCI_INTX_IRQ_INDEX, { flags: VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, count: 1 }],
  [VFIO_PCI_MSI_IRQ_INDEX, { flags: VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, count: 1 }],
]);

export class PciInterrupts {
  readonly #trigger = new EventfdTrigger();
  /** Index of the one that the eventfd is for; meaningless while none is set. */
  #index = VFIO_PCI_INTX_IRQ_INDEX;
  /** Of INTx. */
  #masked = false;

  triggerInterrupt(): void {
    if (this.#masked || !this.#trigger.signal()) return;
    this.#masked = this.#index === VFIO_PCI_INTX_IRQ_INDEX;
  }

  /** Throws EINVAL or ENOTTY for what the device can't do. Flags without exactly one action do nothing. */
  change(caller: Caller, change: IrqSet): void {
    if (!PCI_IRQS.has(change.index)) throw new Errno('ENOTTY');
    if (change.action === VFIO_IRQ_SET_ACTION_MASK) this.#setMask(change, true);
    else if (change.action === VFIO_IRQ_SET_ACTION_UNMASK) this.#setMask(change, false);
    else if (change.action === VFIO_IRQ_SET_ACTION_TRIGGER) this.#change(caller, change);
  }

  /** Last close: the eventfd goes. */
  release(): void {
    this.#trigger.clear();
    this.#masked = false;
  }

  #isActive(index: number): boolean {
    return this.#trigger.isSet && this.#index === index;
  }

  #setMask(change: IrqSet, masked: boolean): void {
    if (change.index === VFIO_PCI_MSI_IRQ_INDEX) throw new Errno('ENOTTY');
    if (!this.#isActive(change.index) || !isOnlyInterrupt(change)) throw new Errno('EINVAL');
    // An eventfd that masks or unmasks is not supported.
    if (change.dataType === VFIO_IRQ_SET_DATA_EVENTFD) throw new Errno('ENOTTY');
    if (isAsked(change)) this.#masked = masked;
  }

  #change(caller: Caller, change: IrqSet): void {
    const isActive = this.#isActive(change.index);
    if (isActive && change.count === 0 && change.dataType === VFIO_IRQ_SET_DATA_NONE) return this.release();
    if ((this.#trigger.isSet && !isActive) || !isOnlyInterrupt(change)) throw new Errno('EINVAL');
    if (change.dataType === VFIO_IRQ_SET_DATA_EVENTFD) {
      this.release();
      this.#index = change.index;
      this.#trigger.set(caller, change.data[0] ?? -1);
      return;
    }
    if (!isActive) throw new Errno('EINVAL');
    if (isAsked(change)) this.triggerInterrupt();
  }
}

/** Each index has one interrupt, number 0. */
const isOnlyInterrupt = (change: IrqSet): boolean => change.start === 0 && change.count === 1;

/** DATA_NONE means yes; DATA_BOOL says. */
const isAsked = (change: IrqSet): boolean => change.dataType === VFIO_IRQ_SET_DATA_NONE || change.data[0] !== 0;
