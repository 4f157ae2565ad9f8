/**
 * BlockerIrq: the interrupt through which a device says that `migration_block` has changed. Its index is one past the standard
 * ones of the device's kind (VFIO_PCI_NUM_IRQS for a PCI device), it has one eventfd and can't be masked.
 *
 * The rules of SET_IRQS are those of vfio-pci's own software interrupts: drivers/vfio/pci/vfio_pci_intrs.c:
 * vfio_pci_set_ctx_trigger_single().
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_NORESIZE, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_NONE,
} from '../abi/vfio.js';
import type { Caller } from '../kernfs/caller.js';
import type { VfioIrq } from '../vfio/device.js';
import { EventfdTrigger } from '../vfio/irqs.js';
import type { IrqSet } from '../vfio/irqs.js';

/** What IRQ_INFO says. */
export const BLOCKER_IRQ: VfioIrq = { flags: VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, count: 1 };

export class BlockerIrq {
  readonly #trigger = new EventfdTrigger();

  /** `change` has passed copyIrqSet(). Throws ENOTTY for anything but TRIGGER, EINVAL for what makes no sense, EBADF. */
  set(caller: Caller, change: IrqSet): void {
    if (change.action !== VFIO_IRQ_SET_ACTION_TRIGGER) throw new Errno('ENOTTY');
    const [value = 0] = change.data;
    switch (change.dataType) {
      case VFIO_IRQ_SET_DATA_NONE:
        if (!this.#trigger.isSet) throw new Errno('EINVAL');
        if (change.count === 0) this.#trigger.clear();
        else this.signal();
        return;
      case VFIO_IRQ_SET_DATA_BOOL:
        if (change.count === 0) throw new Errno('EINVAL');
        if (value !== 0) this.signal();
        return;
      default:
        if (change.count === 0 || value < -1) throw new Errno('EINVAL');
        this.#trigger.set(caller, value);
    }
  }

  /** Adds 1 to the eventfd; nothing where the client registered none. */
  signal(): void {
    this.#trigger.signal();
  }

  /** Last close of the device: the eventfd goes. */
  release(): void {
    this.#trigger.clear();
  }
}
