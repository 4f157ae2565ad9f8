/**
 * The VMM put together: a machine with its memory and vfio-pci devices, migration both ways, a QMP server, one main loop.
 * Source of the order: QEMU's system/vl.c: qemu_init().
 */
import { VERSION } from './commands/query.js';
import { createCommands } from './commands/index.js';
import { MainLoop } from './main-loop.js';
import { parseUri } from './migration/address.js';
import { bindFailure } from './migration/connection.js';
import type { SocketAddress } from './migration/connection.js';
import { Capabilities } from './migration/capabilities.js';
import { IncomingMigration } from './migration/incoming.js';
import { OutgoingMigration } from './migration/outgoing.js';
import { Parameters } from './migration/parameters.js';
import { rehearseStream } from './migration/rehearsal.js';
import { Steps } from './migration/steps.js';
import type { Step } from './migration/steps.js';
import { QmpServer } from './qmp/server.js';
import { checkSocketPath, removeSocketFile } from '../sys/socket.js';
import { VfioDevices } from './vfio/devices.js';
import { PciDevice } from './vfio/pci-device.js';
import { createProtocol } from './vfio/protocol.js';
import type { ProtocolName, RfcOrder } from './vfio/protocol.js';
import type { VfioPciOptions } from './vm/device.js';
import { GuestLoad } from './vm/guest-load.js';
import type { GuestLoadOptions } from './vm/guest-load.js';
import { Ram } from './vm/ram.js';
import { Vm } from './vm/vm.js';
import type { EventData, PrepareEvents } from './vm/vm.js';

export interface VmmOptions {
  readonly name?: string | undefined;
  /** Bytes. */
  readonly ram: number;
  readonly devices: readonly VfioPciOptions[];
  /** Paths of sockets. */
  readonly qmp: readonly string[];
  /** A URI, or `defer`. */
  readonly incoming?: string | undefined;
  /** -S: the machine is not started. */
  readonly stopped: boolean;
  readonly onlyMigratable: boolean;
  /** Policy `notify`. */
  readonly notify: boolean;
  readonly prepareEvents: PrepareEvents;
  /** How devices migrate; default v2. */
  readonly protocol?: ProtocolName | undefined;
  /** Of the RFC's protocols; default device-first. */
  readonly rfcOrder?: RfcOrder | undefined;
  readonly breaks: readonly Step[];
  /** A guest that does something, with the first device's serial port. */
  readonly guestLoad?: GuestLoadOptions | undefined;
  /** Nobody serves the devices any more: ends the process. */
  readonly devicesLost?: (() => never) | undefined;
  /** A line for the operator. */
  readonly log: (level: 'info' | 'warning' | 'error', message: string) => void;
}

export interface RunningVmm {
  /** Exit status. */
  readonly ended: Promise<number>;
  /** SIGTERM and the like: ends it in order. */
  readonly shutdown: () => void;
  /** Paths of the sockets that it has made; the files go when it ends. */
  readonly sockets: () => readonly string[];
}

/** Starts it. Rejects with an Error (QmpError, VfioError, Node's) of one sentence; then nothing stays open. */
export async function startVmm(options: VmmOptions): Promise<RunningVmm> {
  const { log, incoming: incomingUri } = options;
  const loop = new MainLoop();
  const onFault = (error: unknown): void => log('error', error instanceof Error ? error.stack ?? error.message : String(error));
  // The server needs the commands, they need the machine, and its events need the server.
  let server: QmpServer | undefined;
  const event = (name: string, data?: EventData): void => server?.event(name, data);
  const ram = new Ram(options.ram);
  const vm = new Vm({
    name: options.name, ram, state: incomingUri === undefined ? 'prelaunch' : 'inmigrate', onlyMigratable: options.onlyMigratable,
    prepareEvents: options.prepareEvents, environment: { event, log, devicesLost: options.devicesLost },
  });
  const steps = new Steps(options.breaks, (step, held) => {
    log('info', held ? `held before ${step}` : step);
    if (held) event('X_MDEVSIM_BREAK', { step });
  });
  const protocol = createProtocol(options.protocol ?? 'v2', options.rfcOrder);
  const devices = new VfioDevices(vm, loop, {
    notify: options.notify, protocol, loading: () => incoming.state.is('active'),
  });
  const start = { auto: !options.stopped };
  const context = { vm, loop, steps, capabilities: new Capabilities(), parameters: new Parameters(), protocol };
  const outgoing = new OutgoingMigration(context, onFault);

  let finish: (status: number) => void = () => undefined;
  let over = false;
  const ended = new Promise<number>((resolve) => {
    finish = (status): void => {
      if (over) return;
      over = true;
      halt();
      // The reply to `quit` is sent first.
      setImmediate(() => void close().catch(onFault).finally(() => resolve(status)));
    };
  });
  /** Clients still hear of these, before the reply to `quit`: migration_shutdown(), and the stop of the devices. */
  const halt = (): void => {
    loop.stop();
    outgoing.abandon();
    incoming.close();
    vm.shutdown();
  };
  const close = async (): Promise<void> => {
    await server?.close();
    devices.close();
    ram.close();
  };
  const incoming = new IncomingMigration(context, { autostart: () => start.auto, exit: (status) => finish(status), onFault });

  try {
    for (const device of options.devices) devices.add(device);
    const port = devices.all.find((device) => device instanceof PciDevice);
    const load = options.guestLoad === undefined ? undefined : new GuestLoad(vm, port, options.guestLoad);
    server = new QmpServer({
      commands: createCommands({ ...context, devices, outgoing, incoming, start, load, quit: () => finish(0) }),
      loop, version: VERSION, onFault,
    });
    for (const path of options.qmp) {
      checkSocketPath(path);
      removeSocketFile(path);
      await server.listen({ path }).catch((error: unknown) => {
        throw new Error(bindFailure(path, error as NodeJS.ErrnoException));
      });
    }
    // QEMU resets a new machine when all of it is there.
    devices.reset();
    if (incomingUri === undefined) {
      if (start.auto) vm.start();
    } else if (incomingUri !== 'defer') {
      await incoming.listen(() => parseUri(incomingUri));
    }
  } catch (error) {
    halt();
    await close();
    throw error;
  }
  // Whoever waits for the machine goes first. What can't be rehearsed is only slower.
  setImmediate(() => void rehearseStream().catch(() => undefined));
  const shutdown = (): void => {
    if (over) return;
    event('SHUTDOWN', { guest: false, reason: 'host-signal' });
    finish(0);
  };
  const sockets = (): string[] => {
    const bound = (incoming.info()['socket-address'] ?? []) as unknown as readonly SocketAddress[];
    return [...options.qmp, ...bound.flatMap((address) => (address.type === 'unix' ? [address.path] : []))];
  };
  return { ended, shutdown, sockets };
}
