/**
 * GvtDevice: a vGPU as VFIO sees it. Lifetime: that of the mdev; registers and migration state survive closing the device, what
 * belongs to the client (its eventfds, its memory, a program that writes there) does not. Source:
 * drivers/gpu/drm/i915/gvt/kvmgt.c: intel_vgpu_dev_ops.
 */
import { Errno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_API_PCI_STRING, VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_RUNNING, VFIO_PCI_NUM_REGIONS,
} from '../../abi/vfio.js';
import type { BlockerPolicyName } from '../../blocker/policy.js';
import { LabControls } from '../../controls/controls.js';
import { changeLabPciIrqs, labPciIrq, LAB_PCI_NUM_IRQS } from '../../controls/pci-irqs.js';
import type { Caller } from '../../kernfs/caller.js';
import type { Awaitable, FileRequest } from '../../kernfs/file.js';
import type { DmaSpace, VfioDeviceOps, VfioFeature } from '../../vfio/device.js';
import { answerDeviceInfo, answerIrqInfo, answerRegionInfo, PCI_DEVICE_IOCTLS } from '../../vfio/device-ioctls.js';
import type { PciDeviceIoctls } from '../../vfio/device-ioctls.js';
import { copyIrqSet } from '../../vfio/irqs.js';
import type { MigrationMachine, MigratableDevice } from '../../vfio/migration.js';
import type { Type1 } from '../../vfio/type1.js';
import { Card } from './card.js';
import type { ProtocolName, ProtocolSide } from './protocols.js';
import { DEFAULT_PROTOCOL, protocolRow } from './protocols.js';
import { readRegion, regionInfo, writeRegion } from './regions.js';
import { checkHeader, encodeHeader, encodeState, largestState, loadState, stateSize } from './state.js';
import type { GvtType } from './types.js';

export interface GvtDeviceOptions {
  /** How new devices migrate; default v2. */
  readonly protocol?: ProtocolName | undefined;
  /** VFIO_MIGRATION_* flags; default all three. */
  readonly migrationFlags?: number | undefined;
  /** Default `track`. */
  readonly blocker?: BlockerPolicyName | undefined;
}

const MIB = 1 << 20;

export class GvtDevice implements VfioDeviceOps, MigratableDevice, PciDeviceIoctls {
  readonly deviceApi = VFIO_DEVICE_API_PCI_STRING;
  readonly migration: MigrationMachine;
  readonly controls: LabControls;
  readonly type: GvtType;
  #protocol: ProtocolName;
  #side: ProtocolSide;
  #open = false;
  /** Made when somebody touches it: of many devices most are never opened. */
  #made: Card | undefined;

  /** `blockChanged` is called after migration_block has changed and its interrupt was signalled. */
  constructor(type: GvtType, options: GvtDeviceOptions, blockChanged?: () => void) {
    this.type = type;
    this.controls = new LabControls(options.blocker, blockChanged);
    this.migration = this.controls.createMigration(this, { flags: options.migrationFlags, precopyEnd: 'ENOMSG' });
    this.#protocol = options.protocol ?? DEFAULT_PROTOCOL;
    this.#side = protocolRow(this.#protocol).make(this);
  }

  get card(): Card {
    return (this.#made ??= new Card(this.apertureSize));
  }
  /** Bytes in BAR2. */
  get apertureSize(): number {
    return this.type.lowGm * MIB;
  }

  get protocol(): ProtocolName {
    return this.#protocol;
  }
  /** Throws EBUSY while a client has the device open. */
  setProtocol(name: ProtocolName): void {
    if (name === this.#protocol) return;
    if (this.#open) throw new Errno('EBUSY');
    this.#protocol = name;
    this.#side = protocolRow(name).make(this);
  }

  get migrationFeatures(): boolean {
    return protocolRow(this.#protocol).features === true;
  }
  get dmaLogging(): boolean {
    return this.migrationFeatures;
  }
  get ioctlKind(): string | undefined {
    return this.#side.ioctlKind;
  }
  get features(): readonly VfioFeature[] {
    return this.controls.features;
  }

  get stateSize(): number {
    return stateSize(this.card);
  }
  get largestState(): number {
    return largestState(this.card);
  }
  header(): Uint8Array {
    return encodeHeader(this.type.lowGm);
  }
  checkHeader(header: Uint8Array): void {
    checkHeader(header, this.type.lowGm);
  }
  save(): Uint8Array {
    return encodeState(this.card, this.type.lowGm);
  }
  load(state: Uint8Array): void {
    this.checkHeader(state.subarray(0, this.header().length));
    loadState(this.card, state);
  }

  /** It can't tell which IOVAs are another device's, so in the P2P states it does no DMA at all. */
  entered(state: number): void {
    this.card.dma.allow(state === VFIO_DEVICE_STATE_RUNNING || state === VFIO_DEVICE_STATE_PRE_COPY);
    this.#side.entered?.();
  }

  openDevice(dma: DmaSpace): void {
    this.#open = true;
    this.#side.open?.(dma);
    this.card.dma.attach(dma);
  }

  attachContainer(iommu: Type1): () => void {
    return this.#side.attachContainer?.(iommu) ?? ((): void => undefined);
  }

  closeDevice(): void {
    this.#open = false;
    this.controls.closed();
    this.#side.close?.();
    this.card.release();
  }

  read(request: FileRequest, position: number, length: number): Awaitable<Uint8Array> {
    return readRegion(this.#regions, request, position, length);
  }

  write(request: FileRequest, position: number, data: Uint8Array): Awaitable<number> {
    return writeRegion(this.#regions, request, position, data);
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    const row = PCI_DEVICE_IOCTLS.get(command);
    if (row !== undefined) return row.run(this, request, argument);
    const result = this.#side.ioctl?.(request, command, argument);
    if (result === undefined) throw new Errno('ENOTTY');
    return result;
  }

  getInfo(caller: Caller, argument: bigint): number {
    return answerDeviceInfo(caller, argument, {
      flags: VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET | (this.#side.infoFlags ?? 0),
      num_regions: VFIO_PCI_NUM_REGIONS + (this.#side.regions?.length ?? 0),
      num_irqs: LAB_PCI_NUM_IRQS,
    });
  }

  getRegionInfo(caller: Caller, argument: bigint): number {
    return answerRegionInfo(caller, argument, (index) => regionInfo(this.#regions, index));
  }

  getIrqInfo(caller: Caller, argument: bigint): number {
    return answerIrqInfo(caller, argument, labPciIrq);
  }

  setIrqs(caller: Caller, argument: bigint): number {
    const change = copyIrqSet(caller, argument, (index) => labPciIrq(index)?.count);
    return changeLabPciIrqs(this.controls, this.card.interrupts, caller, change);
  }

  reset(): number {
    this.card.reset();
    this.migration.reset();
    return 0;
  }

  get #regions(): { readonly card: Card; readonly apertureSize: number; readonly own: ProtocolSide['regions'] } {
    return { card: this.card, apertureSize: this.apertureSize, own: this.#side.regions };
  }
}
