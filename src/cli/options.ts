/** Parsing of option values. Pure; wrong input throws CliError with one sentence. */
import { KERNEL_PROFILES } from '../abi/kernel-profile.js';
import type { KernelVersion } from '../abi/kernel-profile.js';
import { BLOCKER_POLICY_NAMES } from '../blocker/policy.js';
import type { BlockerPolicyName } from '../blocker/policy.js';
import { UEVENT_AUDIENCES } from '../uevents/audience.js';
import type { UeventAudience } from '../uevents/audience.js';
import { isUuid } from '../mdev/uuid.js';
import { migrationFeatureWords, parseMigrationFeatures } from '../vfio/migration-features.js';
import { usage } from './errors.js';
import { oneOf } from './option-value.js';

export const KERNELS = Object.keys(KERNEL_PROFILES) as readonly KernelVersion[];

export interface DriverRequest {
  readonly name: string;
  readonly parents: number;
  readonly features?: string;
  readonly options?: Readonly<Record<string, string>>;
}
export interface MdevRequest { readonly type: string; readonly uuid?: string; readonly parent?: string }

const MAX_PARENTS = 1024;
const MAX_SLOTS = 65536;

/** A whole number in [least, most]. */
export function parseCount(text: string, what: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw usage(`${what} must be a number from ${least} to ${most}, not '${text}'`);
  }
  return value;
}

/** `mtty`, `mtty=2` or `mtty=2,features=stop-copy+p2p`. Any other key is the driver's own option. */
export function parseDriver(text: string): DriverRequest {
  const [driver = '', ...options] = text.split(',');
  const [name = '', count, ...rest] = driver.split('=');
  if (name === '' || name === 'features' || rest.length > 0) {
    throw usage(`--driver takes NAME or NAME=PARENTS, then ,features=...; not '${text}'`);
  }
  const parents = count === undefined ? 1 : parseCount(count, `the number of parents in --driver ${text}`, 1, MAX_PARENTS);
  const given = new Map<string, string>();
  for (const option of options) {
    const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(option) ?? [];
    if (key === '' || given.has(key)) throw usage(`--driver takes options as in features=stop-copy, each once, not '${option}'`);
    given.set(key, value);
  }
  const features = parseFeatures(text, given.get('features'));
  given.delete('features');
  return {
    name, parents,
    ...(features === undefined ? {} : { features }),
    ...(given.size === 0 ? {} : { options: Object.fromEntries(given) }),
  };
}

function parseFeatures(text: string, words: string | undefined): string | undefined {
  if (words === undefined) return undefined;
  try {
    return migrationFeatureWords(parseMigrationFeatures(words)).join('+');
  } catch (error) {
    throw error instanceof RangeError ? usage(`${error.message} (in --driver ${text})`) : error;
  }
}

/** `mtty-1,uuid=...,parent=...` */
export function parseMdev(text: string): MdevRequest {
  const [type = '', ...pairs] = text.split(',');
  if (type === '' || type.includes('=')) throw usage(`--mdev starts with the type, as in mtty-1,uuid=UUID, not '${text}'`);
  const request: { type: string; uuid?: string; parent?: string } = { type };
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const [key, value] = at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
    if (key === 'uuid') {
      if (!isUuid(value)) throw usage(`'${value}' in --mdev ${text} is not a UUID`);
      request.uuid = value.toLowerCase();
    } else if (key === 'parent') {
      if (value === '') throw usage(`--mdev ${text} names no parent`);
      request.parent = value;
    } else throw usage(`--mdev knows uuid= and parent=, not '${pair}'`);
  }
  return request;
}

export const parsePolicy = oneOf('--blocker', BLOCKER_POLICY_NAMES);
export const parseKernel = oneOf('--kernel', KERNELS);
export const parseUevents = oneOf('--uevents', UEVENT_AUDIENCES);
export const parseOwner = (text: string): number => parseCount(text, '--for', 1, 2 ** 31 - 1);
export const parseSlots = (text: string): number => parseCount(text, '--slots', 0, MAX_SLOTS);

/** Options with which a lab is made; shared by `mount` and `run`. */
export interface LabRequest {
  /** A lab file, as the user named it. Then `driver` is empty; `mdev` adds devices, and the others overrule the file. */
  readonly config?: string;
  readonly driver: readonly DriverRequest[];
  readonly mdev: readonly MdevRequest[];
  readonly blocker?: BlockerPolicyName;
  readonly kernel?: KernelVersion;
  readonly trace?: string;
  readonly xattrs?: boolean;
  readonly uevents?: UeventAudience;
}

/** The command line that makes the same lab again: for the server that `run` starts. */
export function labArguments(request: LabRequest): string[] {
  const args = [
    ...request.driver.flatMap(({ name, parents, features, options = {} }) => [
      '--driver', [
        `${name}=${parents}`, ...(features === undefined ? [] : [`features=${features}`]),
        ...Object.entries(options).map(([key, value]) => `${key}=${value}`),
      ].join(','),
    ]),
    ...request.mdev.flatMap(({ type, uuid, parent }) => [
      '--mdev', `${type}${uuid === undefined ? '' : `,uuid=${uuid}`}${parent === undefined ? '' : `,parent=${parent}`}`,
    ]),
  ];
  for (const key of ['config', 'blocker', 'kernel', 'trace', 'uevents'] as const) {
    const value = request[key];
    if (value !== undefined) args.push(`--${key}`, value);
  }
  if (request.xattrs === true) args.push('--xattrs');
  return args;
}
