/**
 * labFileOf(): a running lab as a lab file's content, read from its mounted tree as any program could. Never on a lab that this
 * process serves.
 *
 * What comes out is what would make the same lab again: devices in the order of their groups, with their policies, faults,
 * features and attributes where these differ from what a new device has. What a client does at the moment (an open device, a
 * running migration) is no part of it.
 */
import { closeSync, openSync, readdirSync, readlinkSync, readSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DEFAULT_PROTOCOL } from '../../drivers/gvt/protocols.js';
import { ALL_BITS, parseHexMask, parseMaskChange } from '../../drivers/vfio-ap/ap-mask.js';
import { SETTINGS_FILE } from '../settings-path.js';
import type { LabSettings } from '../settings-file.js';
import { ALL_MIGRATION_FEATURES, migrationFeatureWords } from '../../vfio/migration-features.js';

type Entry = Record<string, unknown>;

export interface LabFileData extends Entry {
  readonly devices: readonly Entry[];
}

/** More than any file of a lab has, bytes. */
const buffer = new Uint8Array(1 << 20);

/** In as few requests as there can be: a large lab has many files. */
function read(path: string): string {
  const fd = openSync(path, 'r');
  try {
    return new TextDecoder().decode(buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0))).replace(/\n$/, '');
  } finally {
    closeSync(fd);
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return read(path);
  } catch {
    return undefined;
  }
}

/** Numbers as a person would write them; anything else stays text. */
const plain = (text: string): string | number => (/^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text);

const lines = (text: string | undefined): string[][] =>
  (text === undefined || text === 'off' ? [] : text.split('\n').map((line) => line.split(' ')));

/** Entry of a mapping, left out where there is nothing to say. */
const unlessEmpty = (key: string, value: Entry): Entry => (Object.keys(value).length === 0 ? {} : { [key]: value });

function faultsOf(knobs: string): Entry {
  const knob = (name: string): string | undefined => readIfThere(join(knobs, name));
  const delay = Object.fromEntries(lines(knob('delay')).map(([state = '', ms]) => [state, Number(ms)]));
  const fail = Object.fromEntries(lines(knob('fail')).map(([state = '', errno, times, error]) =>
    [state, { errno, times: Number(times), ...(error === undefined ? {} : { error: true }) }]));
  const [streamFail] = lines(knob('stream_fail'));
  const [streamCut] = lines(knob('stream_cut'));
  const size = Number(knob('state_size') ?? 0);
  const rate = Number(knob('dirty_rate') ?? 0);
  return {
    ...unlessEmpty('delay', delay),
    ...unlessEmpty('fail', fail),
    ...(streamFail === undefined ? {} : { stream_fail: { byte: Number(streamFail[0]), errno: streamFail[1] } }),
    ...(streamCut === undefined ? {} : { stream_cut: Number(streamCut[0]) }),
    ...(size === 0 ? {} : { state_size: size }),
    ...(rate === 0 ? {} : { dirty_rate: rate }),
  };
}

/** The kernel's own, or none of a device's settings. */
const IGNORED = new Set(['uevent', 'power', 'vfio-dev', 'remove']);
const READ_AND_WRITE = 0o600;

/** Attributes that can be read and written; `migration_block` only where it is set. */
function attributesOf(dir: string, prefix = ''): Entry {
  const found: Entry = {};
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (prefix === '' && IGNORED.has(entry.name)) continue;
    const path = join(dir, entry.name);
    const name = `${prefix}${entry.name}`;
    if (entry.isDirectory()) Object.assign(found, attributesOf(path, `${name}/`));
    if (!entry.isFile() || (statSync(path).mode & READ_AND_WRITE) !== READ_AND_WRITE) continue;
    const value = readIfThere(path);
    if (value !== undefined && !(name === 'migration_block' && value === '0')) found[name] = plain(value);
  }
  return found;
}

/** What a new device of that type can do. */
function featuresByDefault({ drivers }: LabSettings, driver: string, type: string): string {
  const known = drivers.find(({ name, types }) => types?.[type] !== undefined || name === driver);
  return (known?.types?.[type]?.features ?? known?.features ?? migrationFeatureWords(ALL_MIGRATION_FEATURES)).join(' ');
}

/** How a new device of that driver migrates. */
function protocolByDefault({ drivers }: LabSettings, driver: string): unknown {
  return drivers.find(({ name }) => name === driver)?.options?.['protocol'] ?? DEFAULT_PROTOCOL;
}

function deviceOf(lab: string, settings: LabSettings, uuid: string): { readonly group: number; readonly entry: Entry } {
  // Not through the link: following it is one more request for each file.
  const dir = join(lab, 'sys/bus/mdev/devices', readlinkSync(join(lab, 'sys/bus/mdev/devices', uuid)));
  const knobs = join(lab, 'sys/kernel/debug/mdevsim', uuid);
  const type = basename(readlinkSync(join(dir, 'mdev_type')));
  const policy = readIfThere(join(knobs, 'blocker'));
  const features = readIfThere(join(knobs, 'features'));
  const protocol = readIfThere(join(knobs, 'protocol'));
  const driver = basename(readlinkSync(join(dir, 'driver/module')));
  const usual = featuresByDefault(settings, driver, type);
  const entry = {
    type, uuid, parent: basename(dirname(dir)),
    ...(policy === undefined || policy === settings.policy ? {} : { policy }),
    ...(features === undefined || features === usual ? {} : { features: features.split(' ') }),
    ...(protocol === undefined || protocol === protocolByDefault(settings, driver) ? {} : { protocol }),
    ...unlessEmpty('faults', faultsOf(knobs)),
    ...unlessEmpty('attributes', attributesOf(dir)),
  };
  return { group: Number(basename(readlinkSync(join(dir, 'iommu_group')))), entry };
}

const MASKS = ['apmask', 'aqmask'] as const;

/** Options are as they were given; two of them are files of the machine, too, which may say something else by now. */
function driversOf(lab: string, { drivers }: LabSettings): LabSettings['drivers'] {
  return drivers.map((driver) => {
    if (driver.name !== 'vfio_ap') return driver;
    const options = { ...driver.options };
    for (const name of MASKS) {
      const said = options[name];
      const now = read(join(lab, 'sys/bus/ap', name));
      const given = typeof said === 'string' ? parseMaskChange(said, ALL_BITS) : ALL_BITS;
      if (parseHexMask(now) !== given) options[name] = now;
    }
    return { ...driver, ...unlessEmpty('options', options) };
  });
}

/** `lab`: where it is mounted. Throws Node's errors. */
export function labFileOf(lab: string): LabFileData {
  const settings = JSON.parse(read(join(lab, SETTINGS_FILE))) as LabSettings;
  const devices = readdirSync(join(lab, 'sys/bus/mdev/devices')).flatMap((uuid) => {
    // A device may go while we look.
    try { return [deviceOf(lab, settings, uuid)]; } catch { return []; }
  });
  return { ...settings, drivers: driversOf(lab, settings), devices: devices.sort((a, b) => a.group - b.group).map(({ entry }) => entry) };
}
