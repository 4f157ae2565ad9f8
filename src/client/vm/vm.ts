/**
 * Vm: run state, memory, devices, and the order in which they hear of starts and stops. Source: QEMU's system/cpus.c: vm_start(),
 * do_vm_stop(); system/runstate.c.
 *
 * Stopping: run state, handlers, then the event STOP. Starting: the event RESUME first, then run state and handlers. A VM that is
 * running is not started again, one that is not live only changes its run state when it is stopped: no handlers, no event.
 */
import { MigrationBlockers } from './blockers.js';
import type { VfioError, VfioPciDevice } from './device.js';
import { GuestMemory } from './memory.js';
import { MigrationNotifiers } from './notifiers.js';
import type { Ram } from './ram.js';
import { isLive } from './run-state.js';
import type { RunState } from './run-state.js';
import { VmStateHandlers } from './state-handlers.js';

/** Values as JSON has them; what QmpServer.event() takes. */
export type EventData = { [key: string]: string | number | boolean | EventData };

export interface VmEnvironment {
  /** A QMP event. */
  readonly event: (name: string, data?: EventData) => void;
  /** A line for the operator, as QEMU's warn_report and error_report; with --log, steps too. */
  readonly log: (level: 'info' | 'warning' | 'error', message: string) => void;
  /** hw_error(): a device can't even be reset, the process ends. Default: it kills itself with SIGABRT. */
  readonly abort?: (message: string) => never;
  /** Nobody serves the devices any more, the process ends. Default: as abort. */
  readonly devicesLost?: (() => never) | undefined;
}

/** VFIO_MIGRATION events before transitions: none, QEMU 11's (before PRE_COPY_P2P), or one of their own before every one. */
export const PREPARE_EVENTS = ['none', 'merged', 'all'] as const;
export type PrepareEvents = (typeof PREPARE_EVENTS)[number];

export interface VmOptions {
  readonly name?: string | undefined;
  readonly ram: Ram;
  /** inmigrate with -incoming, else prelaunch. */
  readonly state: 'prelaunch' | 'inmigrate';
  readonly onlyMigratable?: boolean | undefined;
  /** Default none. */
  readonly prepareEvents?: PrepareEvents | undefined;
  readonly environment: VmEnvironment;
}

export class Vm {
  readonly name: string | undefined;
  readonly environment: VmEnvironment;
  readonly handlers = new VmStateHandlers();
  readonly notifiers = new MigrationNotifiers();
  readonly blockers: MigrationBlockers;
  readonly memory: GuestMemory;
  readonly prepareEvents: PrepareEvents;
  /** In the order in which they were added; device.ts's add and remove keep it. */
  readonly devices: VfioPciDevice[] = [];
  /** migration_is_running(): the owner of the outgoing migration sets it. */
  migrationIsRunning: () => boolean = () => false;
  /**
   * migration_file_set_error(): takes the failure of a transition that the VM's start or stop asked for, and returns true,
   * where an outgoing migration has a channel; its owner sets it. Elsewhere such a failure is only printed.
   */
  failMigration: (error: VfioError) => boolean = () => false;
  #state: RunState;
  /** What restores the run state of a VM that was not live when its migration failed. */
  #former: RunState;

  constructor(options: VmOptions) {
    this.name = options.name;
    this.environment = options.environment;
    this.prepareEvents = options.prepareEvents ?? 'none';
    this.#state = options.state;
    this.#former = options.state;
    this.memory = new GuestMemory(options.ram, this.handlers, () => this.running);
    this.blockers = new MigrationBlockers(() => this.#state === 'save-vm' || this.migrationIsRunning(), options.onlyMigratable);
  }

  get ram(): Ram {
    return this.memory.ram;
  }
  get state(): RunState {
    return this.#state;
  }
  get running(): boolean {
    return this.#state === 'running';
  }
  get live(): boolean {
    return isLive(this.#state);
  }
  /** The run state before the last stop(): what a failed migration of a stopped VM goes back to. */
  get former(): RunState {
    return this.#former;
  }

  /** runstate_set(): only the name changes. */
  setState(state: RunState): void {
    this.#state = state;
  }

  deviceFailed(error: VfioError): void {
    if (!this.failMigration(error)) this.environment.log('error', error.message);
  }

  abort(message: string): never {
    this.environment.abort?.(message);
    this.environment.log('error', message);
    process.kill(process.pid, 'SIGABRT');
    throw new Error(message);
  }

  /** A device answered as isLost() says, or its file has failed. */
  devicesLost(device: string): never {
    this.environment.devicesLost?.();
    return this.abort(`${device}: Nobody serves the device any more`);
  }

  /** vm_start() */
  start(): void {
    if (this.running) return;
    this.environment.event('RESUME');
    this.#state = 'running';
    this.handlers.notify(true, 'running');
  }

  /** vm_stop(), vm_stop_force_state(): stops a live VM; of another one only the state changes. */
  stop(state: RunState): void {
    this.#former = this.#state;
    if (!this.live) {
      this.#state = state;
      return;
    }
    this.#state = state;
    this.handlers.notify(false, state);
    this.environment.event('STOP');
  }

  /** vm_shutdown(), before the process ends: a live VM is stopped, without an event. */
  shutdown(): void {
    if (!this.live) return;
    this.#state = 'shutdown';
    this.handlers.notify(false, 'shutdown');
  }
}
