/** A device of defineDriver() as VFIO sees it: a PCI device with regions and one interrupt, the blocker's. */
import { Errno } from '../../abi/errno.js';
import {
  VFIO_DEVICE_API_PCI_STRING, VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_RESET, VFIO_DEVICE_SET_IRQS, VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
} from '../../abi/vfio.js';
import { MigrationBlocker } from '../../blocker/blocker.js';
import { BLOCKER_IRQ, BlockerIrq } from '../../blocker/irq.js';
import { migrationNoticeFeature } from '../../blocker/notify.js';
import { FaultInjector } from '../../fault/faults.js';
import type { Awaitable, FileRequest } from '../../kernfs/file.js';
import type { VfioDeviceOps, VfioFeature, VfioIrq, VfioRegion } from '../../vfio/device.js';
import { answerDeviceInfo, answerIrqInfo, answerRegionInfo } from '../../vfio/device-ioctls.js';
import { ioctlTable } from '../../vfio/ioctl.js';
import { copyIrqSet } from '../../vfio/irqs.js';
import { MigrationMachine } from '../../vfio/migration.js';
import type { MigratableDevice } from '../../vfio/migration.js';
import { regionOffset, splitPosition } from '../../vfio/pci-regions.js';
import type { SimpleDevice, SimpleOptions, SimpleRegion, SimpleState } from './define.js';
import { guarded } from './guard.js';

/** The lab's own interrupt index, one past the standard ones: migration_block has changed. */
const MIGRATION_BLOCK_IRQ_INDEX = VFIO_PCI_NUM_IRQS;
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

export class SimpleVfioDevice implements VfioDeviceOps {
  readonly deviceApi = VFIO_DEVICE_API_PCI_STRING;
  readonly migration: MigrationMachine | undefined;
  readonly blocker: MigrationBlocker;
  readonly blockerIrq = new BlockerIrq();
  readonly faults = new FaultInjector();
  readonly #driver: string;
  readonly #device: SimpleDevice;

  constructor(driver: string, device: SimpleDevice, options: SimpleOptions, blockChanged: () => void) {
    this.#driver = driver;
    this.#device = device;
    this.blocker = new MigrationBlocker({
      policy: options.blocker,
      signal: () => {
        this.blockerIrq.signal();
        blockChanged();
      },
    });
    if (device.state === undefined) return;
    this.migration = new MigrationMachine(migratable(driver, device.state), {
      hooks: [this.blocker, this.faults],
      ...(options.migrationFlags === undefined ? {} : { flags: options.migrationFlags }),
    });
    this.faults.attach(this.migration);
  }

  get features(): readonly VfioFeature[] {
    return [migrationNoticeFeature(this.blocker)];
  }

  closeDevice(): void {
    this.blocker.closed();
    this.migration?.close();
    this.blockerIrq.release();
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
    const row = SIMPLE_IOCTLS.get(command);
    if (row === undefined) throw new Errno('ENOTTY');
    return row.run(this, request, argument);
  }

  regionInfo(index: number): (VfioRegion & { readonly offset: bigint }) | undefined {
    if (index >= VFIO_PCI_NUM_REGIONS) return undefined;
    const region = this.#device.regions?.[index];
    const writable = region !== undefined && 'write' in region;
    const flags = (region === undefined ? 0 : VFIO_REGION_INFO_FLAG_READ) | (writable ? VFIO_REGION_INFO_FLAG_WRITE : 0);
    return { flags, size: BigInt(region?.size ?? 0), offset: regionOffset(index) };
  }

  irqInfo(index: number): VfioIrq | undefined {
    if (index === MIGRATION_BLOCK_IRQ_INDEX) return BLOCKER_IRQ;
    return index < VFIO_PCI_NUM_IRQS ? NO_IRQ : undefined;
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
  num_irqs: VFIO_PCI_NUM_IRQS + 1,
};

export const SIMPLE_IOCTLS = ioctlTable<SimpleVfioDevice>([
  [VFIO_DEVICE_GET_INFO, 'VFIO_DEVICE_GET_INFO', (_device, { caller }, argument) => answerDeviceInfo(caller, argument, INFO)],
  [VFIO_DEVICE_GET_REGION_INFO, 'VFIO_DEVICE_GET_REGION_INFO',
    (device, { caller }, argument) => answerRegionInfo(caller, argument, (index) => device.regionInfo(index))],
  [VFIO_DEVICE_GET_IRQ_INFO, 'VFIO_DEVICE_GET_IRQ_INFO',
    (device, { caller }, argument) => answerIrqInfo(caller, argument, (index) => device.irqInfo(index))],
  [VFIO_DEVICE_SET_IRQS, 'VFIO_DEVICE_SET_IRQS', (device, { caller }, argument) => {
    device.blockerIrq.set(caller, copyIrqSet(caller, argument, (index) => device.irqInfo(index)?.count));
    return 0;
  }],
  [VFIO_DEVICE_RESET, 'VFIO_DEVICE_RESET', (device) => device.reset()],
]);
