/**
 * VFIO_DEVICE_SET_IRQS: the checks that all drivers share, and triggers that hold a client's eventfd.
 *
 * drivers/vfio/vfio_main.c: vfio_set_irqs_validate_and_prepare(). The order in which things are checked is the kernel's; what
 * an index and an action mean is the driver's.
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_IRQ_SET_ACTION_TYPE_MASK, VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK, vfio_irq_set,
} from '../abi/vfio.js';
import type { Caller, OwnedFd } from '../kernfs/caller.js';
import { copyArgument } from '../kernfs/uaccess.js';
import { signalEventfd } from '../sys/eventfd.js';

const U32_MAX = 0xffff_ffff;
const KNOWN_FLAGS = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
const DATA_SIZE = new Map([[VFIO_IRQ_SET_DATA_NONE, 0], [VFIO_IRQ_SET_DATA_BOOL, 1], [VFIO_IRQ_SET_DATA_EVENTFD, 4]]);

export interface IrqSet {
  readonly index: number;
  readonly start: number;
  readonly count: number;
  /** All VFIO_IRQ_SET_* flags. */
  readonly flags: number;
  /** Exactly one of VFIO_IRQ_SET_DATA_*. */
  readonly dataType: number;
  /** VFIO_IRQ_SET_ACTION_* bits: none, one or several. */
  readonly action: number;
  /** data[], `count` entries; empty for DATA_NONE. Numbers of descriptors are the caller's. */
  readonly data: readonly number[];
}

/**
 * Copies in and checks a struct vfio_irq_set. `countOf` gives the number of interrupts at an index, undefined for one that does
 * not exist. Throws EFAULT, EINVAL. Nothing is allocated beyond the device's own count of interrupts.
 */
export function copyIrqSet(caller: Caller, argument: bigint, countOf: (index: number) => number | undefined): IrqSet {
  const header = copyArgument(caller, argument, vfio_irq_set, 'count');
  const { argsz, flags, index, start, count } = header;
  const available = countOf(index);
  if (available === undefined || count >= U32_MAX - start || (flags & ~KNOWN_FLAGS) !== 0) throw new Errno('EINVAL');
  if (start >= available || start + count > available) throw new Errno('EINVAL', 'no such interrupt');
  const dataType = flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
  const size = DATA_SIZE.get(dataType);
  if (size === undefined || argsz - vfio_irq_set.size < count * size) throw new Errno('EINVAL');
  const bytes = size * count === 0 ? new Uint8Array(0) : caller.read(argument + BigInt(vfio_irq_set.size), count * size);
  return { index, start, count, flags, dataType, action: flags & VFIO_IRQ_SET_ACTION_TYPE_MASK, data: entries(bytes, size) };
}

function entries(bytes: Uint8Array, size: number): readonly number[] {
  if (size === 4) return [...new Int32Array(bytes.slice().buffer)];
  return [...bytes];
}

/**
 * One interrupt's eventfd: the device's own copy of a client's. Owned by whoever made the trigger, who clears it at the last
 * close of the device; a client that closes its own descriptor changes nothing here.
 */
export class EventfdTrigger {
  #fd: OwnedFd | undefined;

  get isSet(): boolean {
    return this.#fd !== undefined;
  }

  /**
   * Takes the caller's eventfd `fd` in place of the old one; a negative number only drops the old one. Throws EBADF where it is
   * not open and EINVAL where it is no eventfd: the old one is gone then, as in eventfd_ctx_fdget() after the driver's put.
   */
  set(caller: Caller, fd: number): void {
    this.clear();
    if (fd < 0) return;
    if (!caller.isEventfd(fd)) throw new Errno('EINVAL', 'not an eventfd');
    this.#fd = caller.takeFd(fd);
  }

  /** False when nothing is set. */
  signal(): boolean {
    if (this.#fd === undefined) return false;
    signalEventfd(this.#fd.fd);
    return true;
  }

  clear(): void {
    this.#fd?.close();
    this.#fd = undefined;
  }
}
