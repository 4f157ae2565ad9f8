/**
 * The destination's side. Source: QEMU's migration/migration.c: qmp_migrate_incoming(), process_incoming_migration_co(),
 * process_incoming_migration_bh(); migration/savevm.c: qemu_loadvm_state().
 *
 * The virtual machine is started only after the source's `commit`. A stream that ends or is damaged before leaves it unstarted
 * for good, and the source is told.
 */
import type { Fd } from '../../sys/fd.js';
import type { NamedDescriptors } from '../qmp/descriptors.js';
import { QmpError } from '../qmp/error.js';
import type { Json } from '../qmp/json-parser.js';
import { errorText } from './error-text.js';
import { RUN_STATES, isLive } from '../vm/run-state.js';
import type { RunState } from '../vm/run-state.js';
import type { MigrationAddress } from './address.js';
import { BigLock } from './big-lock.js';
import { Channel, ChannelError } from './channel.js';
import { InheritedSockets, listen, namedSocket } from './connection.js';
import type { SocketAddress } from './connection.js';
import type { IncomingDevice } from './device-side.js';
import { MachineToken } from './machine-token.js';
import { loadRam } from './ram-load.js';
import type { MigrationContext } from './outgoing-run.js';
import { MigrationState } from './state.js';
import type { StreamConfiguration } from './stream.js';
import { StreamError } from './stream.js';
import { parseJson, StreamReader } from './stream-reader.js';
import { StreamWriter } from './stream-writer.js';

/** How long the source has to take note of a failure, ms. */
const FAREWELL = 1000;

export interface IncomingOptions {
  /** Whether the machine is started after the migration; `cont` and `stop` change it meanwhile. */
  readonly autostart: () => boolean;
  /** A failed load ends the process. */
  readonly exit: (status: number) => void;
  readonly onFault: (error: unknown) => void;
}

export class IncomingMigration {
  readonly state: MigrationState;
  readonly #context: MigrationContext;
  readonly #options: IncomingOptions;
  readonly #lock: BigLock;
  readonly #inherited = new InheritedSockets();
  readonly #closing = new AbortController();
  #started = false;
  #exitOnError = true;
  #bound: readonly SocketAddress[] | undefined;
  #loaders: (IncomingDevice | undefined)[] = [];
  /** Undefined: the source's `commit` alone gives the machine away. */
  #token: MachineToken | undefined;

  constructor(context: MigrationContext, options: IncomingOptions) {
    const { vm, capabilities, loop } = context;
    this.#context = context;
    this.#options = options;
    this.#lock = new BigLock(loop);
    this.state = new MigrationState((status) => {
      if (capabilities.has('events')) vm.environment.event('MIGRATION', { status });
    });
  }

  /**
   * qmp_migrate_incoming(), and -incoming. Throws QmpError. `parse` is called where a migration may come at all;
   * `descriptors`: what `fd:` may name.
   */
  async listen(parse: () => MigrationAddress, exitOnError = true, descriptors?: NamedDescriptors): Promise<void> {
    const { vm } = this.#context;
    if (this.#started) throw new QmpError('The incoming migration has already been started');
    if (vm.state !== 'inmigrate') throw new QmpError("'-incoming' was not specified on the command line");
    this.#exitOnError = exitOnError;
    const address = parse();
    if (this.state.is('none')) this.state.begin();
    const accept = (socket: Fd): void => void this.#run(new Channel(socket)).catch(this.#options.onFault);
    if (address.type === 'fd') accept(namedSocket(address.name, descriptors, this.#inherited));
    else {
      try {
        this.#bound = await listen(address, accept, this.#closing.signal);
      } catch (error) {
        throw new QmpError((error as Error).message);
      }
    }
    this.#started = true;
  }

  /** The process ends: nothing is waited for any more. */
  close(): void {
    this.#closing.abort();
  }

  /** fill_destination_migration_info() */
  info(): { [key: string]: Json } {
    const { status, error } = this.state;
    if (status === 'none') return {};
    const socket = this.#bound === undefined || this.state.is('completed') ? {} : { 'socket-address': [...this.#bound] };
    return { ...socket, status, ...(error === undefined ? {} : { 'error-desc': error }) };
  }

  async #run(channel: Channel): Promise<void> {
    const { steps } = this.#context;
    this.state.set('setup', 'active');
    const answer = new StreamWriter(channel, () => undefined);
    try {
      const state = await this.#load(channel, answer);
      await steps.reach('load_vm_start');
      await this.#lock.hold(() => this.#start(state));
    } catch (error) {
      await this.#fail(error, channel, answer);
      return;
    }
    // A source that is gone by now cannot change anything.
    await answer.record('started').catch(() => undefined);
    this.state.set('active', 'completed');
    await steps.reach('load_cleanup');
    await this.#lock.hold(() => this.#cleanup());
    channel.shutdown();
  }

  /** Everything up to and with the source's commit. Rejects with StreamError, ChannelError, VfioError, Errno. */
  async #load(channel: Channel, answer: StreamWriter): Promise<RunState> {
    const { vm, steps } = this.#context;
    const reader = new StreamReader(channel);
    this.#token = MachineToken.from(await reader.preamble());
    if (this.#token !== undefined) await answer.record('token');
    const first = await reader.next();
    if (first.name !== 'configuration') throw new StreamError('Configuration section missing');
    this.#configure(parseJson<StreamConfiguration>(first.payload));
    reader.reserve();
    await steps.reach('load_setup');
    await this.#lock.hold(() => {
      for (const loader of this.#loaders) loader?.setup();
    });
    await steps.reach('load');
    let state: RunState = 'running';
    for (let ended = false; !ended;) {
      const { name, device, payload } = await reader.next();
      switch (name) {
        case 'ram': loadRam(vm.ram, payload); break;
        case 'deviceData': this.#loader(device).data(payload); break;
        case 'deviceConfig': this.#loader(device).config(payload); break;
        case 'runState': state = parseRunState(payload); break;
        case 'switchoverStart': break;
        case 'end':
          for (const loader of this.#loaders) loader?.end?.();
          ended = true;
          break;
        default: throw new StreamError(`Unexpected record ${name}`);
      }
    }
    await answer.record('ready');
    const { name } = await reader.next();
    if (name !== 'commit') throw new StreamError(`Unexpected record ${name}`);
    return state;
  }

  #configure({ ram, protocol, devices }: StreamConfiguration): void {
    const { vm } = this.#context;
    const ours = this.#context.protocol.name;
    if (protocol !== ours) throw new StreamError(`Migration protocol mismatch: ${String(protocol)} != ${ours}`);
    if (ram !== vm.ram.size) {
      throw new StreamError(`Size mismatch: mdevsim.ram: 0x${ram.toString(16)} != 0x${vm.ram.size.toString(16)}`);
    }
    if (!Array.isArray(devices)) throw new StreamError('Configuration section has no devices');
    this.#loaders = devices.map((sectionId) => {
      if (sectionId === null) return undefined;
      const device = vm.devices.find((one) => one.sectionId === sectionId);
      if (device?.migration === undefined) throw new StreamError(`Unknown savevm section or instance '${sectionId}' 0`);
      return device.migration.incoming(device);
    });
  }

  /** Whom a record is for. Throws StreamError. */
  #loader(index: number): IncomingDevice {
    const loader = this.#loaders[index];
    if (loader === undefined) throw new StreamError(`Unknown savevm section ${index}`);
    return loader;
  }

  /** process_incoming_migration_bh(). Throws StreamError where the source has the machine. */
  #start(state: RunState): void {
    const { vm } = this.#context;
    if (this.#token?.take() === false) throw new StreamError('The source has taken the machine back');
    if (!isLive(state)) vm.setState(state);
    else if (this.#options.autostart()) vm.start();
    else vm.setState('paused');
  }

  async #fail(error: unknown, channel: Channel, answer: StreamWriter): Promise<void> {
    const { vm } = this.#context;
    const message = error instanceof Error ? error.message : String(error);
    const errno = (error as { errno?: unknown }).errno;
    const reason = typeof errno === 'number' ? errorText(error) : error instanceof ChannelError ? 'Input/output error'
      : 'Invalid argument';
    vm.environment.log('error', message);
    vm.environment.log('error', `load of migration failed: ${reason}`);
    await this.#lock.hold(() => {
      this.state.setError(`load of migration failed: ${reason}`);
      this.state.set('active', 'failed');
      this.#cleanup();
    });
    await answer.record('refused', Buffer.from(message)).catch(() => undefined);
    await channel.finish(FAREWELL);
    if (this.#exitOnError) this.#options.exit(1);
  }

  /** load_cleanup of every device. */
  #cleanup(): void {
    for (const loader of this.#loaders) loader?.cleanup();
    this.#token?.close();
    this.#token = undefined;
  }
}

function parseRunState(payload: Uint8Array): RunState {
  const { state } = parseJson<{ state: unknown }>(payload);
  const known = RUN_STATES.find((one) => one === state);
  if (known === undefined) throw new StreamError(`Unknown savevm run state ${String(state)}`);
  return known;
}
