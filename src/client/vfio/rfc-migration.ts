/** One device that migrates as the RFC proposed, as QEMU drove it. Source: hw/vfio/pci.c: vfio_vm_change_state_handler(). */
import { VFIO_DEVICE_RESET } from '../../abi/vfio.js';
import { ioctlFd } from '../../sys/io.js';
import type { IncomingDevice, OutgoingDevice } from '../migration/device-side.js';
import { RfcLoader } from '../migration/rfc-load.js';
import { RfcSaver } from '../migration/rfc-save.js';
import type { MigrationStatistics } from '../migration/statistics.js';
import type { MigrationSide, RfcState, VfioPciDevice } from '../vm/device.js';
import type { Ram } from '../vm/ram.js';
import { attempt } from './container-type1.js';
import type { Container } from './container.js';
import type { Region } from './regions.js';
import type { RfcVersion } from './rfc-versions.js';

export class RfcMigration implements MigrationSide, RfcState {
  readonly #fd: number;
  readonly #container: Container;
  readonly #version: RfcVersion;
  readonly #region: Region;
  /** As QEMU keeps it: assumed at realize, never asked. */
  #running = true;

  constructor(fd: number, container: Container, version: RfcVersion, region: Region) {
    this.#fd = fd;
    this.#container = container;
    this.#version = version;
    this.#region = region;
  }

  get running(): boolean {
    return this.#running;
  }
  get size(): number {
    return this.#region.size - this.#version.stateOffset;
  }

  setRunning(running: boolean): void {
    attempt(`vfio: Failed to ${running ? 'start' : 'stop'} device`, () =>
      this.#version.setRunning(this.#fd, this.#region, running));
    this.#running = running;
  }

  read(position: number, into: Uint8Array): void {
    attempt('vfio: Failed to read Device State Region', () =>
      this.#region.readInto(this.#version.stateOffset + position, into));
  }

  write(position: number, data: Uint8Array): void {
    attempt('vfio: Failed to write Device State Region', () => this.#region.write(this.#version.stateOffset + position, data));
  }

  /** Throws VfioError. QEMU only printed that; the pages would have been lost. */
  mergeDirtyPages(ram: Ram): void {
    attempt('vfio: Failed to fetch dirty pages for migration', () =>
      this.#version.mergeDirtyPages(this.#fd, this.#container, ram));
  }

  outgoing(device: VfioPciDevice, index: number, statistics: MigrationStatistics): OutgoingDevice {
    return new RfcSaver(device, this, index, statistics);
  }

  incoming(device: VfioPciDevice): IncomingDevice {
    return new RfcLoader(device, this);
  }

  /** Throws Errno. */
  reset(): void {
    ioctlFd(this.#fd, VFIO_DEVICE_RESET, null);
    this.#running = true;
  }

  closeData(): void {
    // A region is no descriptor.
  }
}
