/**
 * FaultInjector: what goes wrong in one device's migration, as set through its knobs (knobs.ts). Without a setting it does
 * nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Errno } from '../abi/errno.js';
import type { ErrnoName } from '../abi/errno.js';
import type { FileRequest } from '../kernfs/file.js';
import { interruptible } from '../kernfs/interrupt.js';
import { prepareGenerated } from '../vfio/generated-state.js';
import { TransitionFailure } from '../vfio/migration-hooks.js';
import type { MigrationHooks, MigrationWalk, StreamDirection } from '../vfio/migration-hooks.js';

/** The next `count` steps into a state fail. */
export interface TransitionFault {
  readonly code: ErrnoName;
  readonly count: number;
  /** The device then is in ERROR instead of staying where it was. */
  readonly entersError: boolean;
}

/** What the `features` knob changes; the migration machine. */
export interface FeatureSwitch {
  readonly flags: number;
  /** Throws EBUSY while the device is in a state that it would lose. */
  setFlags(flags: number): void;
}

/** Shared by all injectors: most are never used, and there are as many as devices. */
const NO_DELAYS: ReadonlyMap<number, number> = new Map();
const NO_FAILS: ReadonlyMap<number, TransitionFault> = new Map();

export class FaultInjector implements MigrationHooks {
  /** State to milliseconds: waited before the walk that enters the state begins. */
  delays = NO_DELAYS;
  fails = NO_FAILS;
  /** Reading or writing this byte of a data stream fails. */
  streamFail: { readonly byte: number; readonly code: ErrnoName } | undefined;
  /** Data streams end before this byte: reading finds the end, what is written from there on is lost. */
  streamCut: number | undefined;
  #stateSize = 0;
  /** Bytes of the generated state that change in a second during PRE_COPY. */
  dirty = 0;
  #features: FeatureSwitch | undefined;

  /** Bytes of generated device state, 0 to GENERATED_STATE_MAX. */
  get stateSize(): number {
    return this.#stateSize;
  }
  set stateSize(bytes: number) {
    // Now, not with the first read: a virtual machine stands still then.
    if (bytes > 0) prepareGenerated();
    this.#stateSize = bytes;
  }

  /** The machine is made with its hooks, so it comes later. */
  attach(features: FeatureSwitch): void {
    this.#features = features;
  }

  /** Throws ENODEV before attach(). */
  get features(): FeatureSwitch {
    if (this.#features === undefined) throw new Errno('ENODEV');
    return this.#features;
  }

  prepare(walk: MigrationWalk, request: FileRequest): Promise<void> | undefined {
    const delay = walk.path.reduce((sum, state) => sum + (this.delays.get(state) ?? 0), 0);
    return delay === 0 ? undefined : interruptible(sleep(delay, undefined, { signal: request.signal }), request.signal);
  }

  beforeArc(_from: number, to: number): void {
    const fault = this.fails.get(to);
    if (fault === undefined) return;
    const fails = new Map(this.fails);
    if (fault.count > 1) fails.set(to, { ...fault, count: fault.count - 1 });
    else fails.delete(to);
    this.fails = fails;
    throw new TransitionFailure(fault.code, fault.entersError);
  }

  streamLimit(_direction: StreamDirection, position: number, size: number): number {
    const { streamFail, streamCut } = this;
    let end = position + size;
    if (streamCut !== undefined) end = Math.min(end, Math.max(position, streamCut));
    if (streamFail !== undefined && streamFail.byte < end) {
      if (streamFail.byte <= position) throw new Errno(streamFail.code);
      end = streamFail.byte;
    }
    return end - position;
  }

  generatedSize(): number {
    return this.stateSize;
  }

  dirtyRate(): number {
    return this.dirty;
  }
}
