/** A device of defineDriver() as VFIO sees it: a PCI device with regions and one interrupt, the blocker's. */
import { Errno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_API_PCI_STRING, VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
} from '../../abi/vfio.js';
import { LabControls } from '../../controls/controls.js';
import { labPciIrq, LAB_PCI_NUM_IRQS } from '../../controls/pci-irqs.js';
import type { Caller } from '../../kernfs/caller.js';
import type { Awaitable, FileRequest } from '../../kernfs/file.js';
import type { VfioDeviceOps, VfioFeature, VfioIrq, VfioRegion } from '../../vfio/device.js';
import { answerDeviceInfo, answerIrqInfo, answerRegionInfo, PCI_DEVICE_IOCTLS } from '../../vfio/device-ioctls.js';
import type { PciDeviceIoctls } from '../../vfio/device-ioctls.js';
import { copyIrqSet } from '../../vfio/irqs.js';
import type { MigrationMachine, MigratableDevice } from '../../vfio/migration.js';
import { regionOffset, splitPosition } from '../../vfio/pci-regions.js';
import type { SimpleDevice, SimpleOptions, SimpleRegion, SimpleState } from './define.js';
import { guarded } from './guard.js';

const NO_IRQ: VfioIrq = { flags: 0, count: 0 };

/** A user's state as the migration machine wants it. */
function migratable(driver: string, state: SimpleState): MigratableDevice {
  const save = (): Uint8Array => guarded(driver, 'state.save()', () => Uint8Array.from(state.save()));
  return {
    get stateSize() {
      return save().length;
    },
    header: () => new Uint8Array(0),
    checkHeader: () => undefined,
    save,
    load: (data) => guarded(driver, 'state.load()', () => state.load(data)),
  };
}

export class SimpleVfioDevice implements VfioDeviceOps, PciDeviceIoctls {
  readonly deviceApi = VFIO_DEVICE_API_PCI_STRING;
  readonly migration: MigrationMachine | undefined;
  readonly controls: LabControls;
  readonly #driver: string;
  readonly #device: SimpleDevice;

  constructor(driver: string, device: SimpleDevice, options: SimpleOptions, blockChanged: () => void) {
    this.#driver = driver;
    this.#device = device;
    this.controls = new LabControls(options.blocker, blockChanged);
    if (device.state === undefined) return;
    this.migration = this.controls.createMigration(migratable(driver, device.state), { flags: options.migrationFlags });
  }

  get features(): readonly VfioFeature[] {
    return this.controls.features;
  }

  closeDevice(): void {
    this.controls.closed();
  }

  /** Throws EINVAL outside the regions. */
  read(_request: FileRequest, position: number, length: number): Uint8Array {
    const { region, offset } = this.#at(position, length);
    return guarded(this.#driver, 'read of a region', () => region.read?.(offset, length) ?? new Uint8Array(length));
  }

  write(_request: FileRequest, position: number, data: Uint8Array): number {
    const { region, offset } = this.#at(position, data.length);
    if (region.write === undefined) throw new Errno('EINVAL', 'a read-only region');
    guarded(this.#driver, 'write to a region', () => region.write?.(offset, data));
    return data.length;
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    const row = PCI_DEVICE_IOCTLS.get(command);
    if (row === undefined) throw new Errno('ENOTTY');
    return row.run(this, request, argument);
  }

  getInfo(caller: Caller, argument: bigint): number {
    return answerDeviceInfo(caller, argument, INFO);
  }

  getRegionInfo(caller: Caller, argument: bigint): number {
    return answerRegionInfo(caller, argument, (index) => this.#regionInfo(index));
  }

  getIrqInfo(caller: Caller, argument: bigint): number {
    return answerIrqInfo(caller, argument, irqInfo);
  }

  /** No interrupt but the blocker's. */
  setIrqs(caller: Caller, argument: bigint): number {
    this.controls.irq.set(caller, copyIrqSet(caller, argument, (index) => irqInfo(index)?.count));
    return 0;
  }

  #regionInfo(index: number): (VfioRegion & { readonly offset: bigint }) | undefined {
    if (index >= VFIO_PCI_NUM_REGIONS) return undefined;
    const region = this.#device.regions?.[index];
    const writable = region !== undefined && 'write' in region;
    const flags = (region === undefined ? 0 : VFIO_REGION_INFO_FLAG_READ) | (writable ? VFIO_REGION_INFO_FLAG_WRITE : 0);
    return { flags, size: BigInt(region?.size ?? 0), offset: regionOffset(index) };
  }

  reset(): number {
    this.migration?.reset();
    guarded(this.#driver, 'reset()', () => this.#device.reset?.());
    return 0;
  }

  #at(position: number, length: number): { readonly region: SimpleRegion; readonly offset: number } {
    const [index, offset] = splitPosition(position);
    const region = this.#device.regions?.[index];
    if (region === undefined || offset + length > region.size) throw new Errno('EINVAL', 'outside the regions');
    return { region, offset };
  }
}

const INFO = {
  flags: VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
  num_regions: VFIO_PCI_NUM_REGIONS,
  num_irqs: LAB_PCI_NUM_IRQS,
};

const irqInfo = (index: number): VfioIrq | undefined => (index < VFIO_PCI_NUM_IRQS ? NO_IRQ : labPciIrq(index));
