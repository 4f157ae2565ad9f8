/**
 * MigrationMachine: the migration state of one device, driven by VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE.
 *
 * The machine owns state and data files; a driver says how its state is saved and loaded (MigratableDevice); others watch and
 * interfere through MigrationHooks. Lifetime: that of the device, not of an open file: close and open keep the state.
 * Behaves as samples/vfio-mdev/mtty.c: mtty_set_state(), except that RESUMING -> STOP after close and open is EINVAL (the real
 * driver follows a null pointer there).
 */
import { Errno, isErrno } from '../abi/errno.js';
import {
  VFIO_DEVICE_STATE_ERROR, VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_STOP_COPY,
} from '../abi/vfio.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { interruptible } from '../kernfs/interrupt.js';
import { logError } from '../trace/trace.js';
import type { VfioMigrationOps } from './device.js';
import { generated_record } from './generated-state.js';
import { isSaving, isStateSupported, statePath } from './migration-arcs.js';
import { ALL_MIGRATION_FEATURES } from './migration-features.js';
import { ResumingFile, SavingFile } from './migration-file.js';
import type { StreamLimit } from './migration-file.js';
import { TransitionFailure } from './migration-hooks.js';
import type { MigrationHooks, MigrationWalk, StreamDirection } from './migration-hooks.js';
import { StreamLoader } from './migration-loader.js';
import type { StateLoader } from './migration-loader.js';
import { StreamSource } from './migration-source.js';

/** A driver's part. All of its state fits into memory; what needs more is generated (MigrationHooks.generatedSize). */
export interface MigratableDevice {
  /** Bytes of the state as it is now. A stream that is loaded has as many as there are when RESUMING begins. */
  readonly stateSize: number;
  /** Where the size varies: the most that a stream can have. Then load() itself throws EINVAL for one that was cut. */
  readonly largestState?: number;
  /** The state's first bytes, which PRE_COPY offers (initial_bytes) and which identify a stream. May be empty. */
  header(): Uint8Array;
  /** Throws the errno for a stream that isn't for this device; `header` is as long as header() is. */
  checkHeader(header: Uint8Array): void;
  /** The whole state, header first, as it is now: on entry to STOP_COPY. */
  save(): Uint8Array;
  /** Takes over a whole state: on the way out of RESUMING. Throwing leaves the device in RESUMING. */
  load(state: Uint8Array): void;
  /**
   * Takes a resuming stream in another way than StreamLoader (which knows generated state and refuses what is too long or too
   * short); checkHeader() then is not called. Undefined: with StreamLoader after all.
   */
  loader?(): StateLoader | undefined;
  /** After every step, and after a reset. */
  entered?(state: number): void;
}

export interface MigrationOptions {
  /** VFIO_MIGRATION_* ; all of them by default. */
  readonly flags?: number | undefined;
  readonly hooks?: readonly MigrationHooks[];
  /** What reading in PRE_COPY answers when nothing is left for now: ENOMSG (the uAPI's word) or 0 bytes (mtty). Default 0. */
  readonly precopyEnd?: 'ENOMSG' | 'empty' | undefined;
  /** Milliseconds; for tests of the dirty rate. */
  readonly now?: () => number;
  /** The state that the device begins with; RUNNING, as the uAPI asks, by default. */
  readonly initialState?: number;
}

const monotonic = (): number => performance.now();

export class MigrationMachine implements VfioMigrationOps {
  readonly #device: MigratableDevice;
  readonly #enomsg: boolean;
  readonly #now: () => number;
  #hooks: readonly MigrationHooks[];
  #flags: number;
  #state: number;
  #name = '';
  #saving: SavingFile | undefined;
  #resuming: ResumingFile | undefined;
  /** Settles when the request before has: requests for a state go one after the other. */
  #busy: Promise<void> | undefined;

  constructor(device: MigratableDevice, options: MigrationOptions = {}) {
    this.#device = device;
    this.#enomsg = options.precopyEnd === 'ENOMSG';
    this.#now = options.now ?? monotonic;
    this.#hooks = [...(options.hooks ?? [])];
    this.#flags = options.flags ?? ALL_MIGRATION_FEATURES;
    this.#state = options.initialState ?? VFIO_DEVICE_STATE_RUNNING;
  }

  get flags(): number {
    return this.#flags;
  }

  named(device: string): void {
    this.#name = device;
  }

  /** Throws EBUSY while the device is in a state that it would lose. */
  setFlags(flags: number): void {
    if (this.#state !== VFIO_DEVICE_STATE_ERROR && !isStateSupported(this.#state, flags)) throw new Errno('EBUSY');
    this.#flags = flags;
  }

  addHooks(hooks: MigrationHooks): void {
    this.#hooks = [...this.#hooks, hooks];
  }

  getState(): number {
    return this.#state;
  }

  /** The most bytes that a stream without PRE_COPY can have: state, and records of generated state. Nobody hears of it. */
  get largestStream(): number {
    const { stateSize, largestState = stateSize } = this.#device;
    const generated = this.#generatedSize();
    return largestState + (generated === 0 ? 0 : generated + 2 * generated_record.size);
  }

  dataSize(): bigint {
    for (const hook of this.#hooks) hook.dataSizeQueried?.();
    return BigInt(this.#device.stateSize + this.#generatedSize());
  }

  /** The data file of the state that the device is in. */
  get dataFile(): SavingFile | ResumingFile | undefined {
    return this.#saving ?? this.#resuming;
  }

  /** Throws EINVAL for a state that the device has not or no way leads to; EINTR when interrupted before anything happened. */
  setState(request: FileRequest, to: number): Awaitable<OpenFile | undefined> {
    return this.#request(request, to, false);
  }

  /**
   * As setState(), for protocols to which the way is one transition: where a step of it fails, the device goes back to where it
   * was, or to ERROR where it can't. Data files of a state that it goes back to are new ones: dataFile.
   */
  setStateOrReturn(request: FileRequest, to: number): Awaitable<OpenFile | undefined> {
    return this.#request(request, to, true);
  }

  /** Throws what a request for a state is refused with that the device has not, but whose protocol wants it to seem so. */
  admit(to: number): void {
    for (const hook of this.#hooks) hook.admit?.({ from: this.#state, to, path: [] });
  }

  /**
   * VFIO_DEVICE_RESET: RUNNING (or what the driver says) from any state, data files disabled. A request that waits goes on from
   * there.
   */
  reset(to = VFIO_DEVICE_STATE_RUNNING): void {
    const from = this.#state;
    this.#dropFiles();
    this.#state = to;
    this.#device.entered?.(to);
    for (const hook of this.#hooks) hook.reset?.(from, to);
  }

  /** Last close of the device: data files end, the state stays. */
  close(): void {
    this.#dropFiles();
  }

  #request(request: FileRequest, to: number, returns: boolean): Awaitable<OpenFile | undefined> {
    if (this.#busy !== undefined) return this.#queued(request, to, returns);
    const walk = this.#plan(to);
    if (walk === undefined) return undefined;
    for (let i = 0; i < this.#hooks.length; i++) {
      const wait = this.#hooks[i]?.prepare?.(walk, request);
      if (wait !== undefined) return this.#exclusively(() => this.#afterWaiting(wait, walk, request, i + 1, returns));
    }
    return this.#run(walk, returns);
  }

  #plan(to: number): MigrationWalk | undefined {
    if (to === this.#state) return undefined;
    return { from: this.#state, to, path: statePath(this.#state, to, this.#flags) };
  }

  async #queued(request: FileRequest, to: number, returns: boolean): Promise<OpenFile | undefined> {
    // A caller that was killed can't end before its request does.
    while (this.#busy !== undefined) await interruptible(this.#busy, request.signal);
    return this.#request(request, to, returns);
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    let done = (): void => undefined;
    this.#busy = new Promise((resolve) => (done = resolve));
    try {
      return await work();
    } finally {
      this.#busy = undefined;
      done();
    }
  }

  /** Goes on after a hook that waits. A reset meanwhile changes where the walk starts, so it is planned anew. */
  async #afterWaiting(
    wait: void | Promise<void>, walk: MigrationWalk, request: FileRequest, next: number, returns: boolean,
  ): Promise<OpenFile | undefined> {
    await wait;
    for (const hook of this.#hooks.slice(next)) await hook.prepare?.(walk, request);
    if (request.signal.aborted) throw new Errno('EINTR');
    const now = this.#plan(walk.to);
    return now === undefined ? undefined : this.#run(now, returns);
  }

  /** From here on everything happens at once. */
  #run(walk: MigrationWalk, returns: boolean): OpenFile | undefined {
    for (const hook of this.#hooks) hook.admit?.(walk);
    let file: OpenFile | undefined;
    try {
      for (const to of walk.path) file = this.#step(this.#state, to);
    } catch (error) {
      if (returns) this.#return(walk.from);
      throw error;
    }
    for (const hook of this.#hooks) hook.completed?.(walk);
    return file;
  }

  /** After a step has failed. What was written while RESUMING is not there any more once the device has left it. */
  #return(to: number): void {
    if (this.#state === to || this.#state === VFIO_DEVICE_STATE_ERROR) return;
    try {
      if (to === VFIO_DEVICE_STATE_RESUMING) throw new Errno('EINVAL');
      for (const state of statePath(this.#state, to, this.#flags)) this.#step(this.#state, state);
    } catch (error) {
      if (!isErrno(error)) logError('the way back from a transition that failed', error);
      if (this.getState() !== VFIO_DEVICE_STATE_ERROR) this.#enterError(this.#state);
    }
  }

  #step(from: number, to: number): OpenFile | undefined {
    let file: OpenFile | undefined;
    try {
      for (const hook of this.#hooks) hook.beforeArc?.(from, to);
      file = this.#perform(from, to);
    } catch (error) {
      if (error instanceof TransitionFailure && error.entersError) this.#enterError(from);
      throw error;
    }
    this.#arrive(from, to);
    return file;
  }

  #arrive(from: number, to: number): void {
    this.#state = to;
    this.#device.entered?.(to);
    for (const hook of this.#hooks) hook.afterArc?.(from, to);
  }

  #enterError(from: number): void {
    this.#dropFiles();
    this.#arrive(from, VFIO_DEVICE_STATE_ERROR);
  }

  /** What a step does to the data files; returns a new one. */
  #perform(from: number, to: number): OpenFile | undefined {
    if (from === VFIO_DEVICE_STATE_RESUMING) this.#load();
    if (isSaving(from) && !isSaving(to)) this.#endSaving();
    if (to === VFIO_DEVICE_STATE_RESUMING) return this.#beginResuming();
    if (to === VFIO_DEVICE_STATE_STOP_COPY) return this.#save();
    if (isSaving(to) && !isSaving(from)) return this.#beginSaving();
    return undefined;
  }

  #beginSaving(): SavingFile {
    const generated = {
      size: this.#generatedSize(), dirtyRate: this.#sum((hook) => hook.dirtyRate?.()), now: this.#now,
    };
    const source = new StreamSource(this.#device.header(), generated, this.#enomsg);
    return (this.#saving = new SavingFile(this.#name, source, this.#limit('saving')));
  }

  /** Into STOP_COPY: goes on with the file of PRE_COPY where there is one. */
  #save(): SavingFile | undefined {
    const state = this.#device.save();
    const existing = this.#saving;
    const file = existing ?? this.#beginSaving();
    file.source.finish(state.subarray(this.#device.header().length));
    return existing === undefined ? file : undefined;
  }

  #endSaving(): void {
    this.#saving?.disable();
    this.#saving = undefined;
  }

  #beginResuming(): ResumingFile {
    const { stateSize, largestState } = this.#device;
    const headerSize = this.#device.header().length;
    const checkHeader = (header: Uint8Array): void => this.#device.checkHeader(header);
    const setup = { stateSize: largestState ?? stateSize, varies: largestState !== undefined, headerSize, checkHeader };
    const loader = this.#device.loader?.() ?? new StreamLoader(setup);
    return (this.#resuming = new ResumingFile(this.#name, loader, this.#limit('resuming')));
  }

  #load(): void {
    if (this.#resuming === undefined) throw new Errno('EINVAL');
    this.#device.load(this.#resuming.loader.finish());
    this.#endResuming();
  }

  #endResuming(): void {
    this.#resuming?.disable();
    this.#resuming = undefined;
  }

  #dropFiles(): void {
    this.#endSaving();
    this.#endResuming();
  }

  #generatedSize(): number {
    return this.#sum((hook) => hook.generatedSize?.());
  }

  #sum(value: (hook: MigrationHooks) => number | undefined): number {
    return this.#hooks.reduce((sum, hook) => sum + (value(hook) ?? 0), 0);
  }

  #limit(direction: StreamDirection): StreamLimit {
    return (position, size) =>
      this.#hooks.reduce((left, hook) => (left === 0 ? 0 : hook.streamLimit?.(direction, position, left) ?? left), size);
  }
}
