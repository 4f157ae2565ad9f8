/**
 * VfioDevice: a registered device as VFIO keeps it, and its open count. drivers/vfio/vfio_main.c: struct vfio_device,
 * vfio_df_open(), vfio_df_close(), vfio_unregister_group_dev().
 *
 * Two counts, as in the kernel: every open device fd, bound or not, holds a *registration* (unregistering waits for them); every
 * fd that got access holds an *open*, and the driver's openDevice()/closeDevice() run with the first and the last of those.
 */
import { Errno } from '../abi/errno.js';
import { DEFAULT_PROFILE } from '../abi/kernel-profile.js';
import type { KernelProfile } from '../abi/kernel-profile.js';
import { DmaPort } from '../iommufd/dma-space.js';
import { trace } from '../trace/trace.js';
import { unattended } from '../trace/unattended.js';
import type { VfioDeviceOps } from './device.js';
import { DmaLogging } from './dma-logging.js';

/** How often a driver is asked to give the device up while it is wanted back, ms. */
const REQUEST_INTERVAL = 10_000;

export class VfioDevice {
  /** dev_name(). */
  readonly name: string;
  readonly ops: VfioDeviceOps;
  readonly profile: KernelProfile;
  /** Made on first use, both: most devices of a large lab are never opened. */
  #dma: DmaPort | undefined;
  #logging: DmaLogging | undefined;
  #openCount = 0;
  #registrations = 0;
  #unregistered = false;
  #released: (() => void) | undefined;

  constructor(name: string, ops: VfioDeviceOps, profile: KernelProfile = DEFAULT_PROFILE) {
    this.name = name;
    this.profile = profile;
    this.ops = ops;
    ops.migration?.named?.(name);
  }

  /** What the driver reaches client memory through; whoever opens the device sets its space. */
  get dma(): DmaPort {
    return (this.#dma ??= new DmaPort());
  }

  /** Undefined for a device without DMA logging. */
  get logging(): DmaLogging | undefined {
    return this.ops.dmaLogging === true ? (this.#logging ??= new DmaLogging(this.dma)) : undefined;
  }

  /** Fds with access. */
  get openCount(): number {
    return this.#openCount;
  }

  get inUse(): boolean {
    return this.#registrations > 0;
  }

  /** vfio_device_try_get_registration(): throws ENODEV once the device is being unregistered. */
  getRegistration(): void {
    if (this.#unregistered) throw new Errno('ENODEV');
    this.#registrations++;
  }

  putRegistration(): void {
    if (--this.#registrations === 0) this.#released?.();
  }

  /**
   * vfio_df_open(). `exclusive` is the cdev's way: EINVAL when the device is open. `attach` runs before the driver's
   * openDevice(), for the first open only; when either throws, nothing is open.
   */
  open(exclusive: boolean, attach: () => void, detach: () => void): void {
    if (exclusive && this.#openCount > 0) throw new Errno('EINVAL', 'open already');
    if (this.#openCount === 0) {
      attach();
      try {
        this.ops.openDevice?.(this.dma);
      } catch (error) {
        detach();
        throw error;
      }
    }
    if (this.#openCount++ === 0) trace('vfio.open', { device: this.name });
  }

  /** vfio_df_close(): `detach` runs after the driver's closeDevice(), for the last close only. */
  close(detach: () => void): void {
    if (--this.#openCount > 0) return;
    trace('vfio.close', { device: this.name });
    this.#logging?.stop();
    try {
      this.ops.closeDevice?.();
    } finally {
      detach();
    }
  }

  /** From now on nothing new can be opened. Undefined when nothing is open, else settles with the last fd's close. */
  unregister(): Promise<void> | undefined {
    this.#unregistered = true;
    if (!this.inUse) return undefined;
    let count = 0;
    const ask = (): void => this.ops.request?.(count++);
    const timer = setInterval(unattended(`request of ${this.name}`, ask), REQUEST_INTERVAL);
    timer.unref();
    ask();
    return new Promise((resolve) => {
      this.#released = () => {
        clearInterval(timer);
        resolve();
      };
    });
  }
}

