/**
 * MttyDevice: an mtty card as VFIO sees it. Lifetime: that of the mdev; registers, migration state and whether GET_INFO was
 * called survive closing the device, eventfds and data files do not. samples/vfio-mdev/mtty.c: mtty_ioctl(), mtty_close().
 */
import { Errno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_API_PCI_STRING, VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_RESET, VFIO_DEVICE_SET_IRQS, VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS,
} from '../../abi/vfio.js';
import { MigrationBlocker } from '../../blocker/blocker.js';
import { BLOCKER_IRQ } from '../../blocker/irq.js';
import { migrationNoticeFeature } from '../../blocker/notify.js';
import type { BlockerPolicyName } from '../../blocker/policy.js';
import { FaultInjector } from '../../fault/faults.js';
import type { Caller } from '../../kernfs/caller.js';
import type { Awaitable, FileRequest } from '../../kernfs/file.js';
import type { VfioDeviceOps, VfioFeature, VfioIrq } from '../../vfio/device.js';
import { answerDeviceInfo, answerIrqInfo, answerRegionInfo } from '../../vfio/device-ioctls.js';
import { ioctlTable } from '../../vfio/ioctl.js';
import { copyIrqSet } from '../../vfio/irqs.js';
import { MigrationMachine } from '../../vfio/migration.js';
import type { MigratableDevice } from '../../vfio/migration.js';
import { PCI_IRQS } from '../../vfio/pci-interrupts.js';
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

/** The lab's own interrupt index, one past the standard ones: migration_block has changed. */
const MIGRATION_BLOCK_IRQ_INDEX = VFIO_PCI_NUM_IRQS;
const NUM_IRQS = VFIO_PCI_NUM_IRQS + 1;

export class MttyDevice implements VfioDeviceOps, MigratableDevice {
  readonly migration: MigrationMachine;
  readonly blocker: MigrationBlocker;
  readonly faults = new FaultInjector();
  readonly #nrPorts: 1 | 2;
  /** Made when somebody touches it: of ten thousand devices most are never opened. */
  #made: Card | undefined;

  /** `blockChanged` is called after migration_block has changed and its interrupt was signalled. */
  constructor(nrPorts: 1 | 2, options: MttyDeviceOptions, blockChanged?: () => void) {
    this.#nrPorts = nrPorts;
    this.blocker = new MigrationBlocker({
      policy: options.blocker,
      signal: () => {
        this.#made?.blockerIrq.signal();
        blockChanged?.();
      },
    });
    this.migration = new MigrationMachine(this, {
      hooks: [this.blocker, this.faults],
      ...(options.migrationFlags === undefined ? {} : { flags: options.migrationFlags }),
      ...(options.precopyEnd === undefined ? {} : { precopyEnd: options.precopyEnd }),
    });
    this.faults.attach(this.migration);
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

  /** The lab's own. Made when asked for: most devices never are. */
  get features(): readonly VfioFeature[] {
    return [migrationNoticeFeature(this.blocker)];
  }

  closeDevice(): void {
    this.blocker.closed();
    this.migration.close();
    this.#made?.release();
  }

  read(_request: FileRequest, offset: number, size: number): Uint8Array {
    return readRegions(this.#card, offset, size);
  }

  write(_request: FileRequest, offset: number, data: Uint8Array): number {
    return writeRegions(this.#card, offset, data);
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    const row = MTTY_IOCTLS.get(command);
    if (row === undefined) throw new Errno('ENOTTY');
    return row.run(this, request, argument);
  }

  getInfo(caller: Caller, argument: bigint): number {
    answerDeviceInfo(caller, argument, { flags: VFIO_DEVICE_FLAGS_PCI, num_regions: VFIO_PCI_NUM_REGIONS, num_irqs: NUM_IRQS });
    this.#card.infoAsked = true;
    return 0;
  }

  getRegionInfo(caller: Caller, argument: bigint): number {
    return answerRegionInfo(caller, argument, (index) => regionInfo(index, this.#nrPorts));
  }

  getIrqInfo(caller: Caller, argument: bigint): number {
    return answerIrqInfo(caller, argument, (index) => (this.#card.infoAsked ? irqInfo(index) : undefined));
  }

  setIrqs(caller: Caller, argument: bigint): number {
    const change = copyIrqSet(caller, argument, (index) => this.#interruptsOf(index));
    if (change.index === MIGRATION_BLOCK_IRQ_INDEX) this.#card.blockerIrq.set(caller, change);
    else this.#card.interrupts.change(caller, change);
    return 0;
  }

  /** Registers stay as they are: the card's reset is one of the migration state only. */
  reset(): number {
    this.migration.reset();
    return 0;
  }

  /** The driver takes the number of indexes for the number of interrupts in each; what is too many it finds out later. */
  #interruptsOf(index: number): number | undefined {
    if (index >= NUM_IRQS) return undefined;
    if (!this.#card.infoAsked) return 0;
    return index === MIGRATION_BLOCK_IRQ_INDEX ? BLOCKER_IRQ.count : VFIO_PCI_NUM_IRQS;
  }
}

export const MTTY_IOCTLS = ioctlTable<MttyDevice>([
  [VFIO_DEVICE_GET_INFO, 'VFIO_DEVICE_GET_INFO', (device, { caller }, argument) => device.getInfo(caller, argument)],
  [VFIO_DEVICE_GET_REGION_INFO, 'VFIO_DEVICE_GET_REGION_INFO',
    (device, { caller }, argument) => device.getRegionInfo(caller, argument)],
  [VFIO_DEVICE_GET_IRQ_INFO, 'VFIO_DEVICE_GET_IRQ_INFO', (device, { caller }, argument) => device.getIrqInfo(caller, argument)],
  [VFIO_DEVICE_SET_IRQS, 'VFIO_DEVICE_SET_IRQS', (device, { caller }, argument) => device.setIrqs(caller, argument)],
  [VFIO_DEVICE_RESET, 'VFIO_DEVICE_RESET', (device) => device.reset()],
]);

const irqInfo = (index: number): VfioIrq | undefined => index === MIGRATION_BLOCK_IRQ_INDEX ? BLOCKER_IRQ : PCI_IRQS.get(index);
