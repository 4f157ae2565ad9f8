/**
 * VfioApDevice: the VFIO device of a vfio_ap mdev: no regions, interrupts, a migration that carries no state. Source:
 * drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_matrix_dev_ops.
 *
 * Two kinds. As later versions of the posted series have it (the default): RUNNING at first and after a reset. As its first
 * version (`v1`): with `migratable`, its interrupts and its capability, STOP at first and at every open, a reset that leaves the
 * state.
 */
import { Errno } from '../../abi/errno.js';
import {
  VFIO_AP_REQ_IRQ_INDEX, VFIO_DEVICE_API_AP_STRING, VFIO_DEVICE_FLAGS_AP, VFIO_DEVICE_FLAGS_CAPS, VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_RESET, VFIO_DEVICE_SET_IRQS, VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_STOP, VFIO_MIGRATION_STOP_COPY, vfio_device_info,
} from '../../abi/vfio.js';
import { BLOCKER_IRQ } from '../../blocker/irq.js';
import type { BlockerPolicyName } from '../../blocker/policy.js';
import { LabControls } from '../../controls/controls.js';
import type { Caller } from '../../kernfs/caller.js';
import type { Awaitable, FileRequest } from '../../kernfs/file.js';
import { copyArgument, copyOut } from '../../kernfs/uaccess.js';
import { capabilityChain } from '../../vfio/capability-chain.js';
import type { VfioDeviceOps, VfioFeature, VfioIrq } from '../../vfio/device.js';
import { answerDeviceInfo, answerIrqInfo } from '../../vfio/device-ioctls.js';
import { ioctlTable } from '../../vfio/ioctl.js';
import { copyIrqSet } from '../../vfio/irqs.js';
import type { MigrationMachine, MigratableDevice } from '../../vfio/migration.js';
import type { StateLoader } from '../../vfio/migration-loader.js';
import { AP_IRQ, ApInterrupts } from './irqs.js';
import type { MatrixMdev } from './matrix-mdev.js';
import { Migratable } from './migratable.js';
import { checkQueueCount, checkQueues, configSize, encodeConfig, encodeHeader, ResumingConfig } from './stream.js';
import {
  VFIO_AP_DISABLE_MIG_IRQ_INDEX, VFIO_AP_ENABLE_MIG_IRQ_INDEX, VFIO_AP_NUM_IRQS, VFIO_AP_NUM_IRQS_V1,
  VFIO_DEVINFO_CAP_AP_ATTRS_ID, VFIO_DEVINFO_CAP_AP_ATTRS_VERSION, vfio_device_info_cap_ap_attrs,
} from '../../abi/vfio-ap.js';

export interface VfioApDeviceOptions {
  /** `v1`: migration as the first version of the posted series has it, with its mistakes. */
  readonly series?: 'v1' | undefined;
  /** The state that the device begins with: default RUNNING, STOP in v1. */
  readonly initialState?: 'RUNNING' | 'STOP' | undefined;
  /** Default VFIO_MIGRATION_STOP_COPY, all that the driver can do. */
  readonly migrationFlags?: number | undefined;
  /** Default `track`. */
  readonly blocker?: BlockerPolicyName | undefined;
}

/** How often it is noted in the log that a client was asked for the device, once in so many times. */
const REQUEST_LOG_INTERVAL = 10;

export class VfioApDevice implements VfioDeviceOps, MigratableDevice {
  readonly mdev: MatrixMdev;
  readonly migration: MigrationMachine;
  /** Its interrupt has the next index after the driver's own. */
  readonly controls: LabControls;
  /** Only in v1. */
  readonly migratable: Migratable | undefined;
  readonly #interrupts: ApInterrupts;
  readonly #initialState: number;

  /** `blockChanged` is called after migration_block has changed and its interrupt was signalled. */
  constructor(mdev: MatrixMdev, options: VfioApDeviceOptions, blockChanged?: () => void) {
    const isV1 = options.series === 'v1';
    this.mdev = mdev;
    this.#interrupts = new ApInterrupts(isV1 ? VFIO_AP_NUM_IRQS_V1 : VFIO_AP_NUM_IRQS);
    this.migratable = isV1 ? new Migratable((on) => this.#signalMigratable(on)) : undefined;
    this.controls = new LabControls(options.blocker, blockChanged);
    const initial = options.initialState ?? (isV1 ? 'STOP' : 'RUNNING');
    this.#initialState = initial === 'STOP' ? VFIO_DEVICE_STATE_STOP : VFIO_DEVICE_STATE_RUNNING;
    this.migration = this.controls.createMigration(this, {
      flags: options.migrationFlags ?? VFIO_MIGRATION_STOP_COPY,
      initialState: this.#initialState,
      hooks: this.migratable === undefined ? [] : [this.migratable],
    });
  }

  get deviceApi(): string {
    return VFIO_DEVICE_API_AP_STRING;
  }
  get stateSize(): number {
    return configSize(this.mdev.guestQueueCount);
  }

  header(): Uint8Array {
    return encodeHeader(this.mdev);
  }
  checkHeader(header: Uint8Array): void {
    checkQueueCount(this.mdev, header);
  }
  save(): Uint8Array {
    return encodeConfig(this.mdev);
  }
  /** v1 takes whatever came: it has looked at it before. */
  load(state: Uint8Array): void {
    if (this.migratable !== undefined) return;
    checkQueueCount(this.mdev, state);
    checkQueues(this.mdev, state);
  }
  loader(): StateLoader | undefined {
    return this.migratable === undefined ? undefined : new ResumingConfig(this.mdev);
  }

  get features(): readonly VfioFeature[] {
    return this.controls.features;
  }

  /** A guest has the mdev from here on. v1 makes its migration data now. */
  openDevice(): void {
    if (this.migratable !== undefined) this.#restart(this.migratable);
    this.mdev.attach();
  }

  closeDevice(): void {
    this.controls.closed();
    if (this.migratable !== undefined) this.#restart(this.migratable);
    this.mdev.detach();
  }

  /** vfio_ap_mdev_request() */
  request(count: number): void {
    if (this.#interrupts.signal(VFIO_AP_REQ_IRQ_INDEX)) {
      if (count % REQUEST_LOG_INTERVAL === 0) this.mdev.log(`Relaying device request to user (#${count})`);
    } else if (count === 0) {
      this.mdev.log('No device request registered, blocked until released by user');
    }
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    const row = VFIO_AP_IOCTLS.get(command);
    if (row === undefined) throw new Errno('EOPNOTSUPP');
    return row.run(this, request, argument);
  }

  getInfo(caller: Caller, argument: bigint): number {
    const info = {
      flags: VFIO_DEVICE_FLAGS_AP | VFIO_DEVICE_FLAGS_RESET, num_regions: 0, num_irqs: this.#interrupts.count + 1,
    };
    if (this.migratable === undefined) return answerDeviceInfo(caller, argument, info);
    return answerInfoV1(caller, argument, info, this.migratable.value);
  }

  getIrqInfo(caller: Caller, argument: bigint): number {
    return answerIrqInfo(caller, argument, (index) => this.#irqAt(index));
  }

  setIrqs(caller: Caller, argument: bigint): number {
    const change = copyIrqSet(caller, argument, (index) => this.#irqAt(index)?.count);
    if (change.index === this.#interrupts.count) this.controls.irq.set(caller, change);
    else this.#interrupts.set(caller, change, argument);
    return 0;
  }

  /** The queues of the lab have nothing to reset. */
  reset(): number {
    if (this.migratable === undefined) this.migration.reset();
    return 0;
  }

  signal(index: number): void {
    this.#interrupts.signal(index);
  }

  /** The mdev is removed. */
  release(): void {
    this.#interrupts.release();
  }

  #irqAt(index: number): VfioIrq | undefined {
    if (index < this.#interrupts.count) return AP_IRQ;
    return index === this.#interrupts.count ? BLOCKER_IRQ : undefined;
  }

  #signalMigratable(on: boolean): void {
    this.#interrupts.signal(on ? VFIO_AP_ENABLE_MIG_IRQ_INDEX : VFIO_AP_DISABLE_MIG_IRQ_INDEX);
  }

  #restart(migratable: Migratable): void {
    migratable.restart();
    if (this.migration.getState() !== this.#initialState) this.migration.reset(this.#initialState);
  }
}

/**
 * GET_INFO of v1: a caller whose argsz has no room for the capability is told how much is needed, and then gets a whole struct
 * vfio_device_info, whatever argsz was; its last fields are what the kernel's stack held, zeros here.
 */
function answerInfoV1(
  caller: Caller, argument: bigint, info: { readonly flags: number; readonly num_regions: number; readonly num_irqs: number },
  migratable: boolean,
): number {
  const { argsz } = copyArgument(caller, argument, vfio_device_info, 'num_irqs');
  const data = vfio_device_info_cap_ap_attrs.encode({ migratable: migratable ? 1 : 0 });
  const attributes = { id: VFIO_DEVINFO_CAP_AP_ATTRS_ID, version: VFIO_DEVINFO_CAP_AP_ATTRS_VERSION, data };
  const chain = capabilityChain([attributes], vfio_device_info.size);
  const needed = vfio_device_info.size + chain.length;
  if (argsz >= needed) caller.write(argument + BigInt(vfio_device_info.size), chain);
  copyOut(caller, argument, vfio_device_info, {
    ...info, flags: info.flags | VFIO_DEVICE_FLAGS_CAPS,
    ...(argsz >= needed ? { argsz, cap_offset: vfio_device_info.size } : { argsz: needed, cap_offset: 0 }),
  });
  return 0;
}

export const VFIO_AP_IOCTLS = ioctlTable<VfioApDevice>([
  [VFIO_DEVICE_GET_INFO, 'VFIO_DEVICE_GET_INFO', (device, { caller }, argument) => device.getInfo(caller, argument)],
  [VFIO_DEVICE_RESET, 'VFIO_DEVICE_RESET', (device) => device.reset()],
  [VFIO_DEVICE_GET_IRQ_INFO, 'VFIO_DEVICE_GET_IRQ_INFO', (device, { caller }, argument) => device.getIrqInfo(caller, argument)],
  [VFIO_DEVICE_SET_IRQS, 'VFIO_DEVICE_SET_IRQS', (device, { caller }, argument) => device.setIrqs(caller, argument)],
]);
