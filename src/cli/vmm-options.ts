/** Parsing of the options of `mdevsim vmm`. Pure; wrong input throws CliError with one sentence. */
import { STEPS } from '../client/migration/steps.js';
import type { Step } from '../client/migration/steps.js';
import { PROTOCOL_NAMES, RFC_ORDERS } from '../client/vfio/protocol.js';
import type { ProtocolName, RfcOrder } from '../client/vfio/protocol.js';
import type { OnOffAuto, VfioPciOptions } from '../client/vm/device.js';
import { ON_OFF_AUTO } from '../client/vm/device.js';
import type { GuestLoadOptions } from '../client/vm/guest-load.js';
import { PREPARE_EVENTS } from '../client/vm/vm.js';
import type { PrepareEvents } from '../client/vm/vm.js';
import { usage } from './errors.js';
import { oneOf } from './option-value.js';

export interface VmmRequest {
  readonly lab?: string;
  readonly slots?: number;
  readonly name?: string;
  readonly ram: number;
  readonly devices: readonly VfioPciOptions[];
  readonly qmp: readonly string[];
  readonly incoming?: string;
  readonly stopped: boolean;
  readonly onlyMigratable: boolean;
  readonly notify: boolean;
  readonly prepareEvents: PrepareEvents;
  readonly protocol: ProtocolName;
  readonly rfcOrder?: RfcOrder;
  readonly breaks: readonly Step[];
  readonly log: boolean;
  readonly guestLoad?: GuestLoadOptions;
  /** Process id: the VMM ends with that process, and its sockets go too. */
  readonly owner?: number;
}

const PAGE = 4096;
const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
/** Bytes: what this process can map and count exactly. */
const MAX_RAM = 2 ** 32;

/** `64M`: bytes, of whole pages; a bare number is MiB, as QEMU's -m has it. */
export function parseRam(text: string): number {
  const match = /^(\d{1,12})([KMG]?)$/i.exec(text);
  const size = match === null ? 0 : Number(match[1]) * (UNITS[(match[2] ?? '').toUpperCase()] ?? 2 ** 20);
  if (size <= 0) throw usage(`--ram must be a size such as 64M, not '${text}'`);
  if (size > MAX_RAM) throw usage(`--ram must be at most 4G, not '${text}'${/\d$/.test(text) ? ', which is MiB' : ''}`);
  if (size % PAGE !== 0) throw usage(`--ram must be whole pages of ${PAGE} bytes, not '${text}'`);
  return size;
}

const PROPERTIES = [
  'id', 'bus', 'addr', 'enable-migration', 'migration-events', 'iommufd', 'blocker', 'x-device-dirty-page-tracking',
  'x-pre-copy-dirty-page-tracking', 'x-migration-multifd-transfer',
];

/** `UUID[,id=vf0][,bus=pcie.0][,addr=05.0][,enable-migration=auto|on|off][,migration-events=on|off][,iommufd=on|off][,blocker=on|off]` */
export function parseDevice(text: string): VfioPciOptions {
  const [device = '', ...pairs] = text.split(',');
  if (device === '' || device.includes('=')) throw usage(`--device starts with the UUID of an mdev, not '${text}'`);
  const values = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const key = at < 0 ? pair : pair.slice(0, at);
    if (!PROPERTIES.includes(key) || at < 0) throw usage(`--device knows ${PROPERTIES.join('=, ')}=, not '${pair}'`);
    values.set(key, pair.slice(at + 1));
  }
  const choice = <T extends string>(key: string, known: readonly T[]): T | undefined => {
    const value = values.get(key);
    const found = known.find((one) => one === value);
    if (value !== undefined && found === undefined) {
      throw usage(`${key} in --device is one of ${known.join(', ')}, not '${value}'`);
    }
    return found;
  };
  const onOff = (key: string, otherwise: boolean): boolean => {
    const value = choice(key, ['on', 'off']);
    return value === undefined ? otherwise : value === 'on';
  };
  return {
    sysfsdev: device.includes('/') ? device : `/sys/bus/mdev/devices/${device.toLowerCase()}`, id: values.get('id'),
    bus: values.get('bus'), addr: values.get('addr'),
    enableMigration: choice<OnOffAuto>('enable-migration', ON_OFF_AUTO), migrationEvents: onOff('migration-events', false),
    iommufd: onOff('iommufd', false), blocker: onOff('blocker', true),
    deviceDirtyTracking: choice<OnOffAuto>('x-device-dirty-page-tracking', ON_OFF_AUTO),
    preCopyDirtyTracking: choice<OnOffAuto>('x-pre-copy-dirty-page-tracking', ON_OFF_AUTO),
    multifdTransfer: choice<OnOffAuto>('x-migration-multifd-transfer', ON_OFF_AUTO),
  };
}

/** What --guest-load alone does, per second. */
export const GUEST_LOAD: GuestLoadOptions = { pages: 1000, bytes: 200 };
const MAX_RATE = 1_000_000;

/** `pages=N,bytes=N`, per second; what is left out is as in GUEST_LOAD. */
export function parseGuestLoad(text: string): GuestLoadOptions {
  const load = { ...GUEST_LOAD };
  for (const pair of text.split(',')) {
    const match = /^(pages|bytes)=(\d{1,7})$/.exec(pair);
    if (match === null || Number(match[2]) > MAX_RATE) {
      throw usage(`--guest-load takes pages=N,bytes=N, at most ${MAX_RATE} per second, not '${text}'`);
    }
    load[match[1] as keyof GuestLoadOptions] = Number(match[2]);
  }
  return load;
}

/** `unix:PATH`: the path. */
export function parseQmp(text: string): string {
  if (!/^unix:[^,]+/.test(text)) throw usage(`--qmp takes unix:PATH, not '${text}'`);
  return text.slice('unix:'.length).split(',')[0] ?? '';
}

export const parseStep = oneOf('--break', STEPS);
export const parseProtocol = oneOf('--protocol', PROTOCOL_NAMES);
export const parseRfcOrder = oneOf('--rfc-order', RFC_ORDERS);
export const parsePrepareEvents = oneOf('--prepare-events', PREPARE_EVENTS);
