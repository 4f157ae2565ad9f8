/**
 * Blocker policies: ways for a driver to know that a migration is running. One row in POLICIES each.
 *
 * A policy learns by events. `notify` (the VMM says when it starts and ends) fits in as one more kind of event and one more row.
 */
import {
  VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY,
} from '../abi/vfio.js';
import { isSaving } from '../vfio/migration-arcs.js';

export type PolicyEvent =
  /** VFIO_DEVICE_FEATURE_MIG_DATA_SIZE was asked. */
  | { readonly type: 'data-size' }
  /** The device is in another state: one step of a walk, or a reset. */
  | { readonly type: 'state'; readonly state: number }
  /** A request for a state was carried out: from where, and what was asked for. */
  | { readonly type: 'request'; readonly from: number; readonly to: number };

export interface BlockerPolicy {
  /** Whether the driver believes that a migration of the device is running: then it can't be blocked. */
  readonly running: boolean;
  tell(event: PolicyEvent): void;
  /** Whether a blocked device refuses to go to `state` with EBUSY. */
  refuses(state: number): boolean;
}

/**
 * MIG_DATA_SIZE begins a migration, a request for STOP in STOP_COPY ends it. Nothing else does: a cancelled migration leaves it
 * set for ever, and any other reader of the size sets it.
 */
class ObservePolicy implements BlockerPolicy {
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

/** The device's own state tells. */
class TrackPolicy implements BlockerPolicy {
  #state: number;

  constructor(state: number) {
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

/** As track; and a blocked device does not begin to save. */
class EnforcePolicy extends TrackPolicy {
  override refuses(state: number): boolean {
    return isSaving(state);
  }
}

/** `state` is the device's state when the policy is put in force. */
const POLICIES = {
  observe: (_state: number): BlockerPolicy => new ObservePolicy(),
  track: (state: number): BlockerPolicy => new TrackPolicy(state),
  enforce: (state: number): BlockerPolicy => new EnforcePolicy(state),
} as const;

export type BlockerPolicyName = keyof typeof POLICIES;
export const BLOCKER_POLICY_NAMES = Object.keys(POLICIES) as readonly BlockerPolicyName[];
export const DEFAULT_BLOCKER_POLICY: BlockerPolicyName = 'track';

export function isBlockerPolicyName(name: string): name is BlockerPolicyName {
  return Object.hasOwn(POLICIES, name);
}

export function createPolicy(name: BlockerPolicyName, state: number = VFIO_DEVICE_STATE_RUNNING): BlockerPolicy {
  return POLICIES[name](state);
}
