/**
 * One outgoing migration from its connection to its end: QEMU's migration thread. Source: QEMU's migration/migration.c:
 * migration_connect(), migration_thread(), migration_completion(), migration_iteration_finish(), migration_cleanup().
 *
 * Beyond QEMU's stream the receiver answers: `ready` when it has loaded everything, `started` when it has taken over. The source
 * gives the machine away with `commit`, between the two (handover.ts). Where it is not known who has the machine, it stays stopped here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fd } from '../../sys/fd.js';
import type { Vm } from '../vm/vm.js';
import type { NamedDescriptors } from '../qmp/descriptors.js';
import { isLive } from '../vm/run-state.js';
import type { RunState } from '../vm/run-state.js';
import type { MainLoop } from '../main-loop.js';
import type { CompletionPart, MigrationProtocol } from '../vfio/protocol.js';
import type { MigrationAddress } from './address.js';
import { BigLock } from './big-lock.js';
import type { Capabilities } from './capabilities.js';
import { Channel } from './channel.js';
import { connect, namedSocket } from './connection.js';
import type { OutgoingDevice } from './device-side.js';
import { Handover, Reclaimed } from './handover.js';
import type { Parameters } from './parameters.js';
import { RamSaver } from './ram-save.js';
import { ReturnPath } from './return-path.js';
import type { MigrationState } from './state.js';
import { MigrationStatistics, RateLimit } from './statistics.js';
import type { Steps } from './steps.js';
import type { StreamConfiguration } from './stream.js';
import { StreamWriter } from './stream-writer.js';

export interface MigrationContext {
  readonly vm: Vm;
  readonly loop: MainLoop;
  readonly steps: Steps;
  readonly capabilities: Capabilities;
  readonly parameters: Parameters;
  readonly protocol: Pick<MigrationProtocol, 'name' | 'completion'>;
}

/** QEMU's MAX_WAIT: how long RAM alone may send before the devices have a turn, ms. */
const RAM_TURN = 50;

/** The state is no longer what the step needs: somebody has cancelled. */
class Cancelled extends Error {}

export class OutgoingRun {
  readonly statistics: MigrationStatistics;
  readonly #context: MigrationContext;
  readonly #state: MigrationState;
  readonly #lock: BigLock;
  readonly #abort = new AbortController();
  readonly #rate = new RateLimit();
  readonly #ram: RamSaver;
  readonly #savers: OutgoingDevice[];
  #channel: Channel | undefined;
  readonly #handover = new Handover();
  #writer!: StreamWriter;
  #oldState: RunState | undefined;
  #continue: (() => void) | undefined;
  #deviceError: Error | undefined;
  #unfinished = false;

  constructor(context: MigrationContext, state: MigrationState) {
    const { vm, parameters } = context;
    this.#context = context;
    this.#state = state;
    this.#lock = new BigLock(context.loop);
    this.statistics = new MigrationStatistics(parameters.number('downtime-limit'));
    this.#ram = new RamSaver(vm.memory, this.statistics, (count) => this.#event('MIGRATION_PASS', { pass: count }));
    this.#savers = vm.devices.flatMap((device, index) =>
      device.migration === undefined ? [] : [device.migration.outgoing(device, index, this.statistics)]);
  }

  /** Makes the connection, as far as that is done at once. Throws QmpError. */
  open(address: MigrationAddress, descriptors?: NamedDescriptors): () => Promise<Fd> {
    if (address.type !== 'fd') return () => connect(address, this.#abort.signal);
    const socket = namedSocket(address.name, descriptors);
    return () => Promise.resolve(socket);
  }

  /** run() has begun and has not ended: there may be more to do although the migration's state is a final one. */
  get unfinished(): boolean {
    return this.#unfinished;
  }

  /** To the end. Never rejects, but for defects. */
  async run(open: () => Promise<Fd>): Promise<void> {
    this.#unfinished = true;
    let failure: unknown;
    let connected = false;
    try {
      await this.#connect(open);
      connected = true;
      await this.#thread();
    } catch (error) {
      failure = error;
    }
    // From the final state on nobody else has a turn, or the next migration could begin before this one has ended.
    await this.#lock.acquire();
    try {
      await this.#finish(failure, connected);
    } finally {
      this.#unfinished = false;
      this.#lock.release();
    }
  }

  /** migration_iteration_finish(), migration_cleanup(): under the lock, but for break points. */
  async #finish(failure: unknown, connected: boolean): Promise<void> {
    const { steps } = this.#context;
    if (failure === undefined) this.#state.set('device', 'completed');
    else this.#fail(failure);
    if (connected) {
      await this.#lock.yieldFor(steps.reach('iteration_finish'));
      this.#iterationFinish();
    }
    await this.#lock.yieldFor(steps.reach('cleanup'));
    this.#cleanup();
    await this.#lock.yieldFor(steps.reach('notifiers.end'));
    this.#notifyEnd();
  }

  /** migration_cancel(): on the main loop. After `commit` nobody waits for the answer any longer: see #commit(). */
  cancel(): void {
    if (!this.#handover.committed) this.abandon();
    else if (this.#state.running) {
      this.#handover.reclaim();
      this.#channel?.shutdown();
    }
  }

  /** The source goes, or is told to stop: what is not committed does not happen. What is, is the destination's business. */
  abandon(): void {
    if (this.#handover.committed || !this.#state.running || this.#state.is('cancelling')) return;
    this.#state.set(this.#state.status, 'cancelling');
    this.#abort.abort();
    this.#channel?.shutdown();
    this.#continue?.();
  }

  /** migration_file_set_error(): says whether there is a channel whose migration it ends. */
  deviceFailed(error: Error): boolean {
    if (this.#channel === undefined || !this.#state.running) return false;
    this.#deviceError ??= error;
    return true;
  }

  /** migrate-continue */
  proceed(): void {
    this.#continue?.();
  }

  /** migration_connect(): rejects where the thread may not run. */
  async #connect(open: () => Promise<Fd>): Promise<void> {
    const { vm, steps, parameters } = this.#context;
    await steps.reach('connect');
    this.#channel = new Channel(await open());
    await steps.reach('setup.notifiers');
    await this.#lock.hold(() => {
      if (!this.#state.is('setup')) throw new Cancelled();
      vm.notifiers.call('setup', parameters.mode);
    });
  }

  async #thread(): Promise<void> {
    const channel = this.#channel;
    if (channel === undefined) return;
    const answers = new ReturnPath(channel);
    try {
      await this.#setup(channel);
      await this.#iterate();
      await this.#complete(answers);
    } catch (error) {
      throw answers.refusal === undefined ? error : new Error(`Sibling indicated error 1: ${answers.refusal}`);
    } finally {
      this.statistics.ended();
    }
  }

  async #setup(channel: Channel): Promise<void> {
    const { vm, steps } = this.#context;
    this.#writer = new StreamWriter(channel, (bytes) => this.#count(bytes));
    await steps.reach('save_setup');
    if (!this.#state.is('setup')) throw new Cancelled();
    await this.#writer.preamble(this.#handover.descriptors(channel));
    const devices = vm.devices.map(({ sectionId, migration }) => (migration === undefined ? null : sectionId));
    const configuration: StreamConfiguration = { ram: vm.ram.size, protocol: this.#context.protocol.name, devices };
    await this.#writer.json('configuration', configuration);
    let failure: unknown;
    await this.#lock.hold(() => {
      try {
        this.#ram.setup();
        for (const saver of this.#savers) saver.setup();
      } catch (error) {
        failure = error;
      }
    });
    this.statistics.setupDone();
    if (!this.#state.set('setup', 'active')) throw new Cancelled();
    if (failure !== undefined) throw failure instanceof Error ? failure : new Error('save_setup failed');
  }

  /** Until what is left can be sent within downtime-limit. */
  async #iterate(): Promise<void> {
    const { steps, parameters } = this.#context;
    await steps.reach('iterate');
    for (;;) {
      if (!this.#state.is('active')) throw new Cancelled();
      const bandwidth = parameters.number('max-bandwidth');
      let pending = this.#pendingEstimate();
      if (this.#rate.left(bandwidth) > 0) {
        if (pending < this.#rate.threshold) pending = await this.#pendingExact();
        if (pending === 0 || pending < this.#rate.threshold) return;
        await this.#sendRam(bandwidth);
        for (const saver of this.#savers) if (this.#rate.left(bandwidth) > 0) await saver.iterate(this.#writer);
      }
      pending = this.#pendingEstimate();
      const limits = {
        downtime: parameters.number('downtime-limit'), switchover: parameters.number('avail-switchover-bandwidth'),
      };
      const wait = this.#rate.update(this.statistics, limits, pending);
      if (wait > 0 && this.#rate.left(bandwidth) <= 0) await sleep(wait, undefined, { signal: this.#abort.signal });
      // Nothing to send and nothing to wait for: the loop's other work first.
      else await sleep(0);
    }
  }

  async #sendRam(bandwidth: number): Promise<void> {
    const until = performance.now() + RAM_TURN;
    while (this.#rate.left(bandwidth) > 0 && this.#state.is('active')) {
      if (!await this.#ram.send(this.#writer, this.#rate.left(bandwidth)) || performance.now() > until) return;
    }
  }

  #pendingEstimate(): number {
    return this.#savers.reduce((sum, saver) => sum + saver.pendingEstimate, this.#ram.pending);
  }

  #pendingExact(): Promise<number> {
    return this.#lock.hold(() => {
      this.#ram.sync();
      return this.#savers.reduce((sum, saver) => sum + saver.pendingExact(), this.#ram.pending);
    });
  }

  /** migration_completion_precopy(), under the lock but where it waits for somebody. */
  async #complete(answers: ReturnPath): Promise<void> {
    const { vm, steps, capabilities } = this.#context;
    await steps.reach('vm_stop');
    await this.#lock.acquire();
    try {
      if (!this.#state.is('active')) throw new Cancelled();
      this.#oldState = vm.state;
      this.statistics.stopped();
      vm.stop('finish-migrate');
      if (capabilities.has('pause-before-switchover')) await this.#pause();
      else if (!this.#state.set('active', 'device')) throw new Cancelled();
      await this.#lock.yieldFor(steps.reach('switchover'));
      await this.#writer.record('switchoverStart');
      await this.#lock.yieldFor(steps.reach('save_complete'));
      for (const part of this.#context.protocol.completion) {
        await this.#lock.yieldFor(steps.reach(`complete_${part}`));
        await this.#completePart[part]();
      }
      await this.#writer.json('runState', { state: this.#oldState });
      for (const saver of this.#savers) await saver.config(this.#writer);
      await this.#writer.record('end');
    } finally {
      this.#lock.release();
    }
    await answers.ready;
    await steps.reach('commit');
    if (!this.#state.is('device')) throw new Cancelled();
    await this.#commit(answers);
  }

  readonly #completePart: Readonly<Record<CompletionPart, () => Promise<void>>> = {
    ram: async () => {
      this.#ram.sync();
      while (await this.#ram.send(this.#writer, Infinity));
    },
    devices: async () => {
      // What a device could not do when the machine was stopped ends it here, as the error of QEMU's file does.
      if (this.#deviceError !== undefined) throw this.#deviceError;
      for (const saver of this.#savers) await saver.complete(this.#writer);
    },
  };

  async #commit(answers: ReturnPath): Promise<void> {
    try {
      await this.#handover.commit(this.#writer, answers, (message) => this.#context.vm.environment.log('error', message));
    } catch (error) {
      if (!(error instanceof Reclaimed)) throw error;
      this.#state.set('device', 'cancelling');
      throw new Cancelled();
    }
  }

  /** migration_switchover_prepare(): waits for migrate-continue with the lock given back. */
  async #pause(): Promise<void> {
    const continued = new Promise<void>((resolve) => { this.#continue = resolve; });
    if (!this.#state.set('active', 'pre-switchover')) throw new Cancelled();
    await this.#lock.yieldFor(continued);
    this.#continue = undefined;
    if (this.#state.set('pre-switchover', 'device')) return;
    // The channel has been shut down: QEMU finds that on its file.
    this.#state.setError('Channel error: Input/output error');
    throw new Cancelled();
  }

  /** Notes why, unless it was cancelled, and ends the migration's state. */
  #fail(error: unknown): void {
    if (this.#state.is('cancelling')) return;
    if (!(error instanceof Cancelled)) {
      const message = error instanceof Error ? error.message : String(error);
      this.#state.setError(message);
      this.#context.vm.environment.log('error', message);
    }
    if (this.#state.running) this.#state.set(this.#state.status, 'failed');
  }

  #iterationFinish(): void {
    const { vm } = this.#context;
    if (this.#state.is('completed')) vm.setState('postmigrate');
    else if (this.#oldState === undefined) return;
    else if (this.#handover.given) vm.setState('paused');
    else if (isLive(this.#oldState)) vm.start();
    else if (vm.state === 'finish-migrate') vm.setState(this.#oldState);
  }

  #cleanup(): void {
    if (this.#channel !== undefined) {
      this.#ram.cleanup();
      for (const saver of this.#savers) saver.cleanup();
      this.#channel.shutdown();
      this.#handover.close();
    }
    this.#state.set('cancelling', 'cancelled');
  }

  #notifyEnd(): void {
    const { vm, parameters } = this.#context;
    vm.notifiers.call(this.#state.is('completed') ? 'done' : 'failed', parameters.mode);
    for (const device of vm.devices) if (device.notifies) device.noticeEnd();
  }

  #count(bytes: number): void {
    this.#rate.add(bytes);
    this.statistics.transferred += bytes;
    if (this.#oldState === undefined) this.statistics.precopyBytes += bytes;
    else this.statistics.downtimeBytes += bytes;
  }

  #event(name: string, data: { readonly pass: number }): void {
    if (this.#context.capabilities.has('events')) this.#context.vm.environment.event(name, { ...data });
  }
}
