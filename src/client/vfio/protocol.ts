/**
 * The migration protocols that the VMM speaks, one row each; a VMM speaks one of them with all of its devices. What a protocol is
 * to a device at realize, who keeps the log of what devices write, and in which order a migration is completed.
 */
import type { DirtyLog } from '../vm/memory.js';
import type { Ram } from '../vm/ram.js';
import type { Vm } from '../vm/vm.js';
import type { Container } from './container.js';
import { DeviceLog } from './dirty-logs.js';
import type { LoggedDevice } from './dirty-logs.js';
import { realizeMigration } from './realize-migration.js';
import type { MigratableDevice, Undo } from './realize-migration.js';
import { RfcLog } from './rfc-log.js';
import { realizeRfc } from './rfc-realize.js';
import type { RfcVersionName } from './rfc-versions.js';

/** The two parts of a completion. */
export type CompletionPart = 'ram' | 'devices';

/** The log of one container and its devices. */
export interface ContainerLog extends DirtyLog {
  readonly devices: LoggedDevice[];
  /** A device is being closed. */
  remove(device: LoggedDevice): void;
}

export interface MigrationProtocol {
  /** Both ends must speak the same one. */
  readonly name: string;
  readonly completion: readonly CompletionPart[];
  /** Sets `device.migration`, or adds a blocker that says why it can't migrate. Throws VfioError. */
  realize(device: MigratableDevice, vm: Vm, others: readonly MigratableDevice[], undo: Undo): void;
  log(container: Container, ram: Ram): ContainerLog;
}

/**
 * Of the RFC: whether devices are stopped and saved before the last of the RAM is asked for and sent, or after it. `device-first`
 * is what it proposed and what its review called an odd order; `ram-first` is what was usual, and loses what devices write between.
 */
export const RFC_ORDERS = ['device-first', 'ram-first'] as const;
export type RfcOrder = (typeof RFC_ORDERS)[number];

type Row = (order: RfcOrder) => Omit<MigrationProtocol, 'name'>;

const v2: Row = () => ({
  completion: ['ram', 'devices'], realize: realizeMigration, log: (container, ram) => new DeviceLog(container, ram),
});
const rfc = (version: RfcVersionName): Row => (order) => ({
  completion: order === 'device-first' ? ['devices', 'ram'] : ['ram', 'devices'],
  realize: (device, vm, _others, undo) => realizeRfc(device, vm, { version, stopsWithMachine: order === 'device-first' }, undo),
  log: () => new RfcLog(),
});

const PROTOCOLS = {
  'v2': v2, 'rfc': rfc('rfc'), 'rfc-v2': rfc('rfc-v2'), 'rfc-v3': rfc('rfc-v3'),
} as const satisfies Readonly<Record<string, Row>>;

export type ProtocolName = keyof typeof PROTOCOLS;
export const PROTOCOL_NAMES = Object.keys(PROTOCOLS) as readonly ProtocolName[];

export function createProtocol(name: ProtocolName, order: RfcOrder = 'device-first'): MigrationProtocol {
  return { name, ...PROTOCOLS[name](order) };
}
