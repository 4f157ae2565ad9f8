/**
 * MigrationHooks: how others watch, delay, refuse and break a device's migration without knowing each other.
 *
 * A request for another state runs in this order, over all hooks in theirs:
 *   prepare   may wait; aborted or failing here, nothing has happened yet
 *   admit     last word before anything happens; from here on nothing waits, so what it checked still holds
 *   beforeArc / afterArc   around each single step of the walk, and of the way back where a protocol wants one; a failing step
 *             leaves the device where it was
 *   completed the device is in the state that was asked for
 */
import { Errno } from '../abi/errno.js';
import type { ErrnoName } from '../abi/errno.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';

export interface MigrationWalk {
  readonly from: number;
  readonly to: number;
  /** The states entered, in order; the last one is `to`. */
  readonly path: readonly number[];
}

export type StreamDirection = 'saving' | 'resuming';

export interface MigrationHooks {
  /** Throws the request's errno, or waits; `request.signal` ends the wait (throw EINTR). */
  prepare?(walk: MigrationWalk, request: FileRequest): Awaitable<void>;
  /** Throws TransitionRefusal. */
  admit?(walk: MigrationWalk): void;
  /** Throws the step's errno; TransitionFailure may send the device to ERROR. */
  beforeArc?(from: number, to: number): void;
  afterArc?(from: number, to: number): void;
  completed?(walk: MigrationWalk): void;
  /** VFIO_DEVICE_RESET, after it took effect; `to` is RUNNING for all drivers but those that do it wrong. */
  reset?(from: number, to: number): void;
  /** VFIO_DEVICE_FEATURE_MIG_DATA_SIZE was asked. */
  dataSizeQueried?(): void;
  /**
   * How many of the `size` bytes from stream position `position` on may pass: fewer stops before a fault, 0 ends the stream.
   * Throws the errno of the read or write.
   */
  streamLimit?(direction: StreamDirection, position: number, size: number): number;
  /** Bytes of generated device state beyond the driver's own, 0 to 4 GiB. */
  generatedSize?(): number;
  /** Bytes of the generated state that change in a second while it is being pre-copied. */
  dirtyRate?(): number;
}

/** A policy says no, before anything has happened. */
export class TransitionRefusal extends Errno {}

/** An errno for a step that also says what becomes of the device. */
export class TransitionFailure extends Errno {
  /** True: VFIO_DEVICE_STATE_ERROR, which only a reset leaves. */
  readonly entersError: boolean;

  constructor(code: ErrnoName, entersError: boolean) {
    super(code);
    this.entersError = entersError;
  }
}
