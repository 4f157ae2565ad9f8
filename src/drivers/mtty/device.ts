/**
 * MttyDevice: an mtty card as VFIO sees it. Lifetime: that of the mdev; registers, migration state and whether GET_INFO was
 * called survive closing the device, eventfds and data files do not. samples/vfio-mdev/mtty.c: mtty_ioctl(), mtty_close().
 */
import { Errno } from '../../abi/errno.js';
import { VFIO_DEVICE_API_PCI_STRING, VFIO_DEVICE_FLAGS_PCI, VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS } from '../../abi/vfio.js';
import type { BlockerPolicyName } from '../../blocker/policy.js';
import { LabControls } from '../../controls/controls.js';
import { changeLabPciIrqs, labPciIrq, LAB_PCI_NUM_IRQS } from '../../controls/pci-irqs.js';
import type { Caller } from '../../kernfs/caller.js';
import type { Awaitable, FileRequest } from '../../kernfs/file.js';
import type { VfioDeviceOps, VfioFeature } from '../../vfio/device.js';
import { answerDeviceInfo, answerIrqInfo, answerRegionInfo, PCI_DEVICE_IOCTLS } from '../../vfio/device-ioctls.js';
import type { PciDeviceIoctls } from '../../vfio/device-ioctls.js';
import { copyIrqSet } from '../../vfio/irqs.js';
import type { MigrationMachine, MigratableDevice } from '../../vfio/migration.js';
import { Card } from './card.js';
import { readRegions, regionInfo, writeRegions } from './regions.js';
import { checkHeader, encodeHeader, encodePorts, loadPorts, streamSize } from './stream.js';
import type { Uart } from './uart.js';

export interface MttyDeviceOptions {
  /** VFIO_MIGRATION_* flags; default all three. */
  readonly migrationFlags?: number | undefined;
  /** What reading a data file in PRE_COPY answers when nothing is left: 0 bytes, as mtty does, or ENOMSG, as the uAPI asks. */
  readonly precopyEnd?: 'empty' | 'ENOMSG' | undefined;
  /** Default `track`. */
  readonly blocker?: BlockerPolicyName | undefined;
}

export class MttyDevice implements VfioDeviceOps, MigratableDevice, PciDeviceIoctls {
  readonly migration: MigrationMachine;
  readonly controls: LabControls;
  readonly #nrPorts: 1 | 2;
  /** Made when somebody touches it: of ten thousand devices most are never opened. */
  #made: Card | undefined;

  /** `blockChanged` is called after migration_block has changed and its interrupt was signalled. */
  constructor(nrPorts: 1 | 2, options: MttyDeviceOptions, blockChanged?: () => void) {
    this.#nrPorts = nrPorts;
    this.controls = new LabControls(options.blocker, blockChanged);
    this.migration = this.controls.createMigration(this, { flags: options.migrationFlags, precopyEnd: options.precopyEnd });
  }

  get deviceApi(): string {
    return VFIO_DEVICE_API_PCI_STRING;
  }
  /** It does no DMA, so the log stays empty. */
  get dmaLogging(): boolean {
    return true;
  }
  get #card(): Card {
    return (this.#made ??= new Card(this.#nrPorts));
  }
  /** The ports that are part of the device's state. */
  get #ports(): readonly Uart[] {
    return this.#card.ports.slice(0, this.#nrPorts);
  }

  get stateSize(): number {
    return streamSize(this.#nrPorts);
  }

  header(): Uint8Array {
    return encodeHeader(this.#nrPorts);
  }

  checkHeader(header: Uint8Array): void {
    checkHeader(header, this.#nrPorts);
  }

  save(): Uint8Array {
    return Buffer.concat([this.header(), encodePorts(this.#ports)]);
  }

  load(state: Uint8Array): void {
    loadPorts(this.#ports, state);
  }

  get features(): readonly VfioFeature[] {
    return this.controls.features;
  }

  closeDevice(): void {
    this.controls.closed();
    this.#made?.release();
  }

  read(_request: FileRequest, offset: number, size: number): Uint8Array {
    return readRegions(this.#card, offset, size);
  }

  write(_request: FileRequest, offset: number, data: Uint8Array): number {
    return writeRegions(this.#card, offset, data);
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    const row = PCI_DEVICE_IOCTLS.get(command);
    if (row === undefined) throw new Errno('ENOTTY');
    return row.run(this, request, argument);
  }

  getInfo(caller: Caller, argument: bigint): number {
    answerDeviceInfo(caller, argument, { flags: VFIO_DEVICE_FLAGS_PCI, num_regions: VFIO_PCI_NUM_REGIONS, num_irqs: LAB_PCI_NUM_IRQS });
    this.#card.infoAsked = true;
    return 0;
  }

  getRegionInfo(caller: Caller, argument: bigint): number {
    return answerRegionInfo(caller, argument, (index) => regionInfo(index, this.#nrPorts));
  }

  getIrqInfo(caller: Caller, argument: bigint): number {
    return answerIrqInfo(caller, argument, (index) => (this.#card.infoAsked ? labPciIrq(index) : undefined));
  }

  setIrqs(caller: Caller, argument: bigint): number {
    const change = copyIrqSet(caller, argument, (index) => this.#interruptsOf(index));
    return changeLabPciIrqs(this.controls, this.#card.interrupts, caller, change);
  }

  /** Registers stay as they are: the card's reset is one of the migration state only. */
  reset(): number {
    this.migration.reset();
    return 0;
  }

  /** The driver takes the number of indexes for the number of interrupts in each; what is too many it finds out later. */
  #interruptsOf(index: number): number | undefined {
    if (index >= LAB_PCI_NUM_IRQS) return undefined;
    if (!this.#card.infoAsked) return 0;
    return index < VFIO_PCI_NUM_IRQS ? VFIO_PCI_NUM_IRQS : labPciIrq(index)?.count;
  }
}
