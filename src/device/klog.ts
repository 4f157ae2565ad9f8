/** The kernel log of the machine: what dmesg would show. Keeps the newest lines. */
import { trace } from '../trace/trace.js';

/** How many lines are kept. */
const CAPACITY = 1000;

export class KernelLog {
  #lines: string[] = [];
  /** Told of each line, for the library's events. */
  observer: ((message: string) => void) | undefined;

  /** The newest lines, oldest first. */
  get lines(): readonly string[] {
    return this.#lines.slice(-CAPACITY);
  }

  /** printk(): `message` without newline. `device` only tells traces where it came from. */
  print(message: string, device = ''): void {
    this.#lines.push(message);
    if (this.#lines.length >= 2 * CAPACITY) this.#lines = this.#lines.slice(-CAPACITY);
    this.observer?.(message);
    trace('device.klog', { device, message });
  }

  clear(): void {
    this.#lines = [];
  }
}
