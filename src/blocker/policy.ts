/**
 * Blocker policies: ways for a driver to know that a migration is running. One row in POLICIES each.
 *
 * A policy learns by events. What each can promise: docs/protocol.md.
 */
import {
  VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY,
} from '../abi/vfio.js';
import { isSaving } from '../vfio/migration-arcs.js';

export type PolicyEvent =
  /** VFIO_DEVICE_FEATURE_MIG_DATA_SIZE was asked. */
  | { readonly type: 'data-size' }
  /** The device is in another state: one step of a walk, a reset, or RUNNING where the device was closed. */
  | { readonly type: 'state'; readonly state: number }
  /** A request for a state was carried out: from where, and what was asked for. */
  | { readonly type: 'request'; readonly from: number; readonly to: number }
  /** The VMM says that a migration starts, or that it has ended; also when it closes the device. */
  | { readonly type: 'notice'; readonly started: boolean };

/** What a policy that is put in force finds. */
export interface PolicyStart {
  /** The state that its client has put the device into. */
  readonly state: number;
  /** A start was told, and no end. */
  readonly noticed: boolean;
}

export interface BlockerPolicy {
  /** Whether the driver believes that a migration of the device is running: then it can't be blocked. */
  readonly running: boolean;
  tell(event: PolicyEvent): void;
  /** Whether a blocked device refuses to go to `state` with EBUSY. */
  refuses(state: number): boolean;
  /** Whether a blocked device refuses to be told that a migration starts, with EBUSY. */
  readonly refusesNotice: boolean;
}

/**
 * MIG_DATA_SIZE begins a migration, a request for STOP in STOP_COPY ends it. Nothing else does: a cancelled migration leaves it
 * set for ever, and any other reader of the size sets it.
 */
class ObservePolicy implements BlockerPolicy {
  readonly refusesNotice = false;
  running = false;

  tell(event: PolicyEvent): void {
    if (event.type === 'data-size') this.running = true;
    if (event.type !== 'request') return;
    if (event.from === VFIO_DEVICE_STATE_STOP_COPY && event.to === VFIO_DEVICE_STATE_STOP) this.running = false;
  }

  refuses(): boolean {
    return false;
  }
}

/** The device's own state tells, while somebody has it open. */
class TrackPolicy implements BlockerPolicy {
  readonly refusesNotice: boolean = false;
  #state: number;

  constructor({ state }: PolicyStart) {
    this.#state = state;
  }

  get running(): boolean {
    return isSaving(this.#state) || this.#state === VFIO_DEVICE_STATE_RESUMING;
  }

  tell(event: PolicyEvent): void {
    if (event.type === 'state') this.#state = event.state;
  }

  refuses(_state: number): boolean {
    return false;
  }
}

/** The VMM tells. One that does not know how is never seen to migrate. */
class NotifyPolicy implements BlockerPolicy {
  readonly refusesNotice = false;
  running: boolean;

  constructor({ noticed }: PolicyStart) {
    this.running = noticed;
  }

  tell(event: PolicyEvent): void {
    if (event.type === 'notice') this.running = event.started;
  }

  refuses(): boolean {
    return false;
  }
}

/** As track, and as notify where the VMM tells; and a blocked device neither takes a notice nor begins to save. */
class EnforcePolicy extends TrackPolicy {
  override readonly refusesNotice = true;
  #noticed: boolean;

  constructor(start: PolicyStart) {
    super(start);
    this.#noticed = start.noticed;
  }

  override get running(): boolean {
    return this.#noticed || super.running;
  }

  override tell(event: PolicyEvent): void {
    if (event.type === 'notice') this.#noticed = event.started;
    else super.tell(event);
  }

  override refuses(state: number): boolean {
    return isSaving(state);
  }
}

const POLICIES = {
  observe: (_start: PolicyStart): BlockerPolicy => new ObservePolicy(),
  track: (start: PolicyStart): BlockerPolicy => new TrackPolicy(start),
  notify: (start: PolicyStart): BlockerPolicy => new NotifyPolicy(start),
  enforce: (start: PolicyStart): BlockerPolicy => new EnforcePolicy(start),
} as const;

export type BlockerPolicyName = keyof typeof POLICIES;
export const BLOCKER_POLICY_NAMES = Object.keys(POLICIES) as readonly BlockerPolicyName[];
export const DEFAULT_BLOCKER_POLICY: BlockerPolicyName = 'track';

export function isBlockerPolicyName(name: string): name is BlockerPolicyName {
  return Object.hasOwn(POLICIES, name);
}

export function createPolicy(
  name: BlockerPolicyName, start: PolicyStart = { state: VFIO_DEVICE_STATE_RUNNING, noticed: false },
): BlockerPolicy {
  return POLICIES[name](start);
}
