/**
 * MigrationBlocker: the `migration_block` attribute of one device.
 *
 * Writing a value that it hasn't yet signals the eventfd of the blocker IRQ once. Blocking fails with EBUSY while the policy says
 * that a migration is running; un-blocking never does, as in the vfio-ap patches that this follows: there only the way to
 * "not migratable" was refused. Writing the value that it already has succeeds and does nothing, also during a migration.
 */
import { Errno } from '../abi/errno.js';
import { VFIO_DEVICE_STATE_RUNNING } from '../abi/vfio.js';
import { rw } from '../sysfs/attribute.js';
import { bindGroup } from '../sysfs/group.js';
import type { AttributeGroup } from '../sysfs/group.js';
import { TransitionRefusal } from '../vfio/migration-hooks.js';
import type { MigrationHooks, MigrationWalk } from '../vfio/migration-hooks.js';
import { kstrtobool } from './kstrtobool.js';
import { createPolicy, DEFAULT_BLOCKER_POLICY, isBlockerPolicyName } from './policy.js';
import type { BlockerPolicy, BlockerPolicyName, PolicyEvent } from './policy.js';

export interface BlockerOptions {
  /** Default: track. */
  readonly policy?: BlockerPolicyName | undefined;
  /** Signals the client's eventfd; called after the value has changed. */
  readonly signal: () => void;
}

export class MigrationBlocker implements MigrationHooks {
  readonly #signal: () => void;
  #policyName: BlockerPolicyName;
  #policy: BlockerPolicy;
  /** What the device's clients have brought it to; RUNNING while nobody has it open. */
  #state = VFIO_DEVICE_STATE_RUNNING;
  #blocked = false;
  #noticed = false;
  /** Told of each attempt to change the value: `refused` with EBUSY, or done. */
  observer: ((blocked: boolean, refused: boolean) => void) | undefined;

  constructor(options: BlockerOptions) {
    this.#signal = options.signal;
    this.#policyName = options.policy ?? DEFAULT_BLOCKER_POLICY;
    this.#policy = createPolicy(this.#policyName);
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  /** Throws EBUSY for a block while a migration is running. */
  set(blocked: boolean): void {
    if (blocked === this.#blocked) return;
    if (blocked && this.#policy.running) {
      this.observer?.(blocked, true);
      throw new Errno('EBUSY');
    }
    this.#blocked = blocked;
    this.#signal();
    this.observer?.(blocked, false);
  }

  get policy(): BlockerPolicyName {
    return this.#policyName;
  }

  /**
   * In force at once, also during a migration: track and enforce go by the state that its client has put the device into, observe
   * begins without a memory of what was asked before. The same policy again does the same: the way out of observe's stuck flag.
   */
  setPolicy(name: BlockerPolicyName): void {
    this.#policyName = name;
    this.#policy = createPolicy(name, { state: this.#state, noticed: this.#noticed });
  }

  /** Whether the VMM has told of a start and of no end since. */
  get noticed(): boolean {
    return this.#noticed;
  }

  /** The VMM says that a migration starts. Throws EBUSY where the device is blocked and the policy insists on it. */
  noticeStart(): void {
    if (this.#blocked && this.#policy.refusesNotice) throw new Errno('EBUSY');
    this.#notice(true);
  }

  /** The VMM says that it has ended. */
  noticeEnd(): void {
    if (this.#noticed) this.#notice(false);
  }

  /**
   * The last descriptor of the device is closed: nobody migrates it, whatever state it was left in, until a client puts it into
   * one again. Drivers call it from closeDevice().
   */
  closed(): void {
    this.noticeEnd();
    this.#enter(VFIO_DEVICE_STATE_RUNNING);
  }

  /** Whether the policy takes a migration as running. */
  get migrationRunning(): boolean {
    return this.#policy.running;
  }

  dataSizeQueried(): void {
    this.#tell({ type: 'data-size' });
  }

  admit(walk: MigrationWalk): void {
    if (this.#blocked && this.#policy.refuses(walk.to)) throw new TransitionRefusal('EBUSY');
  }

  afterArc(_from: number, to: number): void {
    this.#enter(to);
  }

  completed(walk: MigrationWalk): void {
    this.#tell({ type: 'request', from: walk.from, to: walk.to });
  }

  reset(_from: number, to: number): void {
    this.#enter(to);
  }

  #notice(started: boolean): void {
    this.#noticed = started;
    this.#tell({ type: 'notice', started });
  }

  #enter(state: number): void {
    this.#state = state;
    this.#tell({ type: 'state', state });
  }

  #tell(event: PolicyEvent): void {
    this.#policy.tell(event);
  }
}

const MIGRATION_BLOCK = rw<MigrationBlocker>(
  'migration_block',
  (blocker) => (blocker.blocked ? '1\n' : '0\n'),
  (blocker, data) => blocker.set(kstrtobool(data)),
);

const POLICY = rw<MigrationBlocker>(
  'blocker',
  (blocker) => `${blocker.policy}\n`,
  (blocker, data) => {
    const name = Buffer.from(data).toString('latin1').replace(/\n$/, '');
    if (!isBlockerPolicyName(name)) throw new Errno('EINVAL');
    blocker.setPolicy(name);
  },
);

/** For the mdev's own directory: `migration_block`. */
export function blockerGroup(blocker: MigrationBlocker): AttributeGroup {
  return bindGroup(blocker, [MIGRATION_BLOCK]);
}

/** For debugfs mdevsim/<uuid>/: `blocker`, the name of the policy. */
export function blockerDebugfsGroup(blocker: MigrationBlocker): AttributeGroup {
  return bindGroup(blocker, [POLICY]);
}
