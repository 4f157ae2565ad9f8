/**
 * What devices have written, as the RFC tells it: asked for only when all of them are stopped, and never started. Source:
 * hw/vfio/common.c: vfio_log_sync(), which looks only at the devices of the container's first group. Here all of the container's
 * devices count: any of them may still be writing.
 */
import type { Ram } from '../vm/ram.js';
import type { LoggedDevice } from './dirty-logs.js';
import type { ContainerLog } from './protocol.js';
import { RfcMigration } from './rfc-migration.js';

export class RfcLog implements ContainerLog {
  readonly devices: LoggedDevice[] = [];

  start(): void {
    // The kernel has always been counting.
  }

  sync(ram: Ram): void {
    const asked = this.devices.flatMap(({ migration }) => (migration instanceof RfcMigration ? [migration] : []));
    if (asked.some(({ running }) => running)) return;
    for (const migration of asked) migration.mergeDirtyPages(ram);
  }

  stop(): void {
    // And goes on.
  }

  remove(device: LoggedDevice): void {
    const at = this.devices.indexOf(device);
    if (at >= 0) this.devices.splice(at, 1);
  }
}
