/** Descriptors by the names that a monitor's clients gave them. Source: QEMU's monitor/fds.c: qmp_getfd(), monitor_get_fd(). */
import type { Fd } from '../../sys/fd.js';

/** Owns them, beyond the connections by which they came, until somebody takes them. */
export class NamedDescriptors {
  readonly #named = new Map<string, Fd>();

  /** Takes `fd` over; one of the same name is closed. */
  set(name: string, fd: Fd): void {
    this.#named.get(name)?.close();
    this.#named.set(name, fd);
  }

  /** The caller's from now on. */
  take(name: string): Fd | undefined {
    const fd = this.#named.get(name);
    this.#named.delete(name);
    return fd;
  }

  close(): void {
    for (const fd of this.#named.values()) fd.close();
    this.#named.clear();
  }
}
