/**
 * Interrupts of a vfio_ap device: one eventfd per index and nothing else. Source: drivers/s390/crypto/vfio_ap_ops.c:
 * vfio_ap_set_irqs(), vfio_ap_set_request_irq().
 *
 * Unlike those of other drivers, eventfds are kept over closing the device, until they are replaced or the mdev is removed; an
 * eventfd that is refused leaves the old one in place.
 */
import { Errno } from '../../abi/errno.js';
import {
  VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, vfio_irq_set,
} from '../../abi/vfio.js';
import { s32 } from '../../abi/layout.js';
import type { Caller } from '../../kernfs/caller.js';
import type { VfioIrq } from '../../vfio/device.js';
import { EventfdTrigger } from '../../vfio/irqs.js';
import type { IrqSet } from '../../vfio/irqs.js';

/** What IRQ_INFO says of every index. */
export const AP_IRQ: VfioIrq = { flags: VFIO_IRQ_INFO_EVENTFD, count: 1 };

export class ApInterrupts {
  readonly #triggers: EventfdTrigger[];

  /** `count` indexes from 0 on. */
  constructor(count: number) {
    this.#triggers = Array.from({ length: count }, () => new EventfdTrigger());
  }

  get count(): number {
    return this.#triggers.length;
  }

  /**
   * `change` has passed copyIrqSet(); `argument` is where it came from: the driver reads one descriptor whatever count says.
   * Throws EINVAL for all but an eventfd that triggers and for a number below -1 (which takes the eventfd away), EBADF, EFAULT.
   */
  set(caller: Caller, change: IrqSet, argument: bigint): void {
    if ((change.action & VFIO_IRQ_SET_ACTION_TRIGGER) === 0) throw new Errno('EINVAL');
    if (change.dataType !== VFIO_IRQ_SET_DATA_EVENTFD) throw new Errno('EINVAL');
    const data = caller.read(argument + BigInt(vfio_irq_set.size), s32.size);
    const fd = s32.get(new DataView(data.buffer, data.byteOffset, data.byteLength), 0);
    if (fd < -1) throw new Errno('EINVAL');
    const next = new EventfdTrigger();
    next.set(caller, fd);
    this.#triggers[change.index]?.clear();
    this.#triggers[change.index] = next;
  }

  /** Adds 1 to the eventfd; false where the client registered none. */
  signal(index: number): boolean {
    return this.#triggers[index]?.signal() ?? false;
  }

  /** The mdev is gone. */
  release(): void {
    for (const trigger of this.#triggers) trigger.clear();
  }
}
