/** A checked lab file as what Lab.mount() takes, and the way back from what went wrong there to the place in the file. */
import { resolve } from 'node:path';
import type { KernelVersion } from '../../abi/kernel-profile.js';
import type { DriverRequest } from '../build.js';
import { isDriverPath } from '../user-driver.js';
import type { DeviceSetup, SetupPath } from '../setup.js';
import type { ConfigPath } from './problem.js';
import type { LabFileContent, LabFileDevice, LabFileDriver, LabFileFaults } from './schema.js';
import { SIZE } from './schema.js';
import type { UeventAudience } from '../../uevents/audience.js';

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const LAST_DIGITS = 12;

/** `64 MiB` and plain numbers, in bytes. */
function bytes(size: number | string): number {
  const [, digits = '', unit = ''] = SIZE.exec(String(size)) ?? [];
  return typeof size === 'number' ? size : Number(digits) * (UNITS[unit] ?? 1);
}

/** true and false as attributes have them. What else there is as its text. A newline after it, as echo writes it. */
const line = (value: string | number | boolean): string => `${typeof value === 'boolean' ? Number(value) : value}\n`;

/** The text of each knob, by the knob's name. */
function knobs({ delay, fail, stream_fail, stream_cut, state_size, dirty_rate }: LabFileFaults): Record<string, string> {
  const texts: Record<string, string> = {};
  if (delay !== undefined) texts['delay'] = Object.entries(delay).map(([state, ms]) => `${state} ${ms}`).join('\n');
  if (fail !== undefined) {
    texts['fail'] = Object.entries(fail).flatMap(([state, fault]) => (fault === undefined ? [] : [
      `${state} ${fault.errno} ${fault.times ?? 1}${fault.error === true ? ' ERROR' : ''}`,
    ])).join('\n');
  }
  if (stream_fail !== undefined) texts['stream_fail'] = `${stream_fail.byte} ${stream_fail.errno}`;
  if (stream_cut !== undefined) texts['stream_cut'] = String(stream_cut);
  if (state_size !== undefined) texts['state_size'] = String(bytes(state_size));
  if (dirty_rate !== undefined) texts['dirty_rate'] = String(bytes(dirty_rate));
  return texts;
}

/** The n-th UUID after the first. */
function countedUuid(first: string, n: number): string {
  const last = (BigInt(`0x${first.slice(-LAST_DIGITS)}`) + BigInt(n)) % 16n ** BigInt(LAST_DIGITS);
  return `${first.slice(0, -LAST_DIGITS)}${last.toString(16).padStart(LAST_DIGITS, '0')}`.toLowerCase();
}

function setups(device: LabFileDevice): DeviceSetup[] {
  const { type, uuid, parent, count = 1, policy, features, protocol, faults, attributes = {} } = device;
  const settings: Record<string, string> = {
    ...(policy === undefined ? {} : { blocker: policy }),
    ...(features === undefined ? {} : { features: features.join(' ') }),
    ...(protocol === undefined ? {} : { protocol }),
    ...knobs(faults ?? {}),
  };
  const writes = Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [name, Array.isArray(value) ? value.map(line) : [line(value)]]),
  );
  return Array.from({ length: count }, (_, n) => ({
    type, knobs: settings, attributes: writes,
    ...(uuid === undefined ? {} : { uuid: countedUuid(uuid, n) }),
    ...(parent === undefined ? {} : { parent }),
  }));
}

/** A driver's module is looked for beside the file. */
function driverRequest({ name, parents, features, types, options }: LabFileDriver, directory: string): DriverRequest {
  const special = Object.entries(types ?? {}).map(([type, { features: words }]) =>
    [type, words === undefined ? {} : { features: words.join('+') }] as const);
  return {
    name: isDriverPath(name) ? resolve(directory, name) : name,
    types: Object.fromEntries(special),
    ...(options === undefined ? {} : { options }),
    ...(parents === undefined ? {} : { parents }),
    ...(features === undefined ? {} : { features: features.join('+') }),
  };
}

export interface LabFileSettings {
  readonly kernel?: KernelVersion;
  readonly blocker?: NonNullable<LabFileContent['policy']>;
  readonly xattrs?: boolean;
  readonly uevents?: UeventAudience;
  /** For `mdevsim run`. */
  readonly slots?: number;
  readonly drivers?: readonly DriverRequest[];
  readonly devices: readonly DeviceSetup[];
}

export interface ConvertedLabFile {
  readonly settings: LabFileSettings;
  /** From a place in the settings to the place in the file. */
  readonly locate: (path: SetupPath) => ConfigPath;
}

/** `directory`: where the file is. */
export function toSettings(content: LabFileContent, directory: string): ConvertedLabFile {
  const { kernel, policy, slots, xattrs, uevents, drivers, devices = [] } = content;
  const expanded = devices.flatMap((device, index) => setups(device).map((setup) => ({ setup, index })));
  const settings: LabFileSettings = {
    devices: expanded.map(({ setup }) => setup),
    ...(kernel === undefined ? {} : { kernel: String(kernel) as KernelVersion }),
    ...(policy === undefined ? {} : { blocker: policy }),
    ...(xattrs === undefined ? {} : { xattrs }),
    ...(uevents === undefined ? {} : { uevents }),
    ...(slots === undefined ? {} : { slots }),
    ...(drivers === undefined ? {} : { drivers: drivers.map((driver) => driverRequest(driver, directory)) }),
  };
  const locate = ([kind, index, part, name = '']: SetupPath): ConfigPath => {
    if (kind === 'drivers') return [kind, index, part ?? 'name', ...(name === '' ? [] : [name])];
    const at: ConfigPath = [kind, expanded[index]?.index ?? 0];
    if (part === undefined) return at;
    if (part !== 'knobs') return [...at, part, name];
    if (name === 'features' || name === 'protocol') return [...at, name];
    return name === 'blocker' ? [...at, 'policy'] : [...at, 'faults', name];
  };
  return { settings, locate };
}
