/**
 * LabControls: what the lab gives every driver's device that the real one has not: `migration_block` with its interrupt and the
 * VMM's notice, fault injection, and the files of both. One per device, and as long-lived: what a client registered goes with
 * closed().
 */
import { BlockerIrq } from '../blocker/irq.js';
import { blockerDebugfsGroup, blockerGroup, MigrationBlocker } from '../blocker/blocker.js';
import { migrationNoticeFeature } from '../blocker/notify.js';
import type { BlockerPolicyName } from '../blocker/policy.js';
import { FaultInjector } from '../fault/faults.js';
import { faultDebugfsGroup } from '../fault/knobs.js';
import type { AttributeGroup } from '../sysfs/group.js';
import { migrationDebugfsGroup } from '../vfio/debugfs.js';
import type { VfioDeviceOps, VfioFeature } from '../vfio/device.js';
import { MigrationMachine } from '../vfio/migration.js';
import type { MigratableDevice, MigrationOptions } from '../vfio/migration.js';

export class LabControls {
  readonly blocker: MigrationBlocker;
  readonly faults = new FaultInjector();
  #migration: MigrationMachine | undefined;
  /** Made when somebody asks for it: of ten thousand devices most are never opened. */
  #irq: BlockerIrq | undefined;

  /** `policy`: default `track`. `blockChanged` is called after migration_block has changed and its interrupt was signalled. */
  constructor(policy: BlockerPolicyName | undefined, blockChanged?: () => void) {
    this.blocker = new MigrationBlocker({
      policy,
      signal: () => {
        this.#irq?.signal();
        blockChanged?.();
      },
    });
  }

  /** The device's migration, which the blocker watches and faults interfere with; `hooks` come after these. Once per device. */
  createMigration(device: MigratableDevice, options: MigrationOptions = {}): MigrationMachine {
    const migration = new MigrationMachine(device, { ...options, hooks: [this.blocker, this.faults, ...(options.hooks ?? [])] });
    this.faults.attach(migration);
    this.#migration = migration;
    return migration;
  }

  /** The interrupt that says that migration_block has changed; which index it has is the device's matter. */
  get irq(): BlockerIrq {
    return (this.#irq ??= new BlockerIrq());
  }
  /** The lab's own VFIO_DEVICE_FEATURE. Made when asked for, as `irq`. */
  get features(): readonly VfioFeature[] {
    return [migrationNoticeFeature(this.blocker)];
  }

  /** Last close of the device. */
  closed(): void {
    this.blocker.closed();
    this.#migration?.close();
    this.#irq?.release();
  }

  /** For the mdev's own directory: `migration_block`. */
  get group(): AttributeGroup {
    return blockerGroup(this.blocker);
  }
  /** For debugfs: VFIO's directory of a device that migrates, and mdevsim/<uuid>/, where `own` are the driver's. */
  debugfs(
    device: Pick<VfioDeviceOps, 'migration' | 'dmaLogging'>, own: readonly AttributeGroup[] = [],
  ): { readonly vfio: readonly AttributeGroup[]; readonly mdevsim: readonly AttributeGroup[] } {
    const migration = migrationDebugfsGroup(device);
    return {
      vfio: migration === undefined ? [] : [migration],
      mdevsim: [blockerDebugfsGroup(this.blocker), ...(this.#migration === undefined ? [] : [faultDebugfsGroup(this.faults)]), ...own],
    };
  }
}
