/** Eventfds for a device's interrupts. Source: QEMU's hw/vfio/helpers.c: vfio_set_irq_signaling(), vfio_disable_irqindex(). */
import {
  VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, vfio_irq_info, vfio_irq_set,
} from '../../abi/vfio.js';
import { createEventfd } from '../../sys/eventfd.js';
import type { Fd } from '../../sys/fd.js';
import type { MainLoop } from '../main-loop.js';
import { callSized, vfioIoctl } from './ioctl.js';

const INT = 4;

/** Number of interrupts of an index. Throws Errno: EINVAL where the device has not got it. */
export function irqCount(fd: number, index: number): number {
  return vfioIoctl(fd, VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info, { index }).count;
}

/** Interrupt 0 of an index, as an eventfd whose handler runs in the main loop. */
export class DeviceIrq {
  readonly #device: number;
  readonly #index: number;
  readonly #loop: MainLoop;
  readonly #handler: () => void | Promise<void>;
  readonly #onFault: (error: unknown) => void;
  #eventfd: Fd | undefined;
  #unwatch: (() => void) | undefined;

  constructor(
    device: number, index: number, loop: MainLoop, handler: () => void | Promise<void>, onFault: (error: unknown) => void,
  ) {
    this.#device = device;
    this.#index = index;
    this.#loop = loop;
    this.#handler = handler;
    this.#onFault = onFault;
  }

  get enabled(): boolean {
    return this.#eventfd !== undefined;
  }

  /** Makes an eventfd and registers it. Throws Errno; then there is none. */
  enable(): void {
    const eventfd = createEventfd();
    const number = new Uint8Array(INT);
    new DataView(number.buffer).setInt32(0, eventfd.fd, true);
    try {
      callSized(this.#device, VFIO_DEVICE_SET_IRQS, vfio_irq_set, {
        argsz: vfio_irq_set.size + INT, flags: VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
        index: this.#index, count: 1,
      }, number);
    } catch (error) {
      eventfd.close();
      throw error;
    }
    this.#eventfd = eventfd;
    this.#unwatch = this.#loop.watchEventfd(eventfd.fd, this.#handler, this.#onFault);
  }

  /** INTx masks itself when it fires. Throws Errno. */
  unmask(): void {
    const flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;
    vfioIoctl(this.#device, VFIO_DEVICE_SET_IRQS, vfio_irq_set, { flags, index: this.#index, count: 1 });
  }

  /** Takes every eventfd of the index out of the device. */
  disable(): void {
    if (this.#eventfd === undefined) return;
    try {
      const flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
      vfioIoctl(this.#device, VFIO_DEVICE_SET_IRQS, vfio_irq_set, { flags, index: this.#index });
    } catch { /* The device is gone, and with it what it held. */ }
    this.close();
  }

  /** Without telling the device: it forgets its eventfds when it is closed. */
  close(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#eventfd?.close();
    this.#eventfd = undefined;
  }
}
