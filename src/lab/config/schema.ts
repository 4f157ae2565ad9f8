/**
 * The lab file's schema. The one source of what a lab file may say: readLabFile() checks with it, docs/lab-file.schema.json (for
 * editors) is generated from it, and the types below are inferred from it.
 *
 * The message of each part is what was expected, as half a sentence; describe.ts makes the sentence of it.
 */
import * as v from 'valibot';
import { ERRNO } from '../../abi/errno.js';
import type { ErrnoName } from '../../abi/errno.js';
import { KERNEL_PROFILES } from '../../abi/kernel-profile.js';
import type { KernelVersion } from '../../abi/kernel-profile.js';
import { BLOCKER_POLICY_NAMES } from '../../blocker/policy.js';
import { PROTOCOL_NAMES } from '../../drivers/gvt/protocols.js';
import { DRIVER_NAMES } from '../../drivers/index.js';
import { GENERATED_STATE_MAX } from '../../vfio/generated-state.js';
import { ALL_MIGRATION_FEATURES, migrationFeatureWords } from '../../vfio/migration-features.js';
import { UEVENT_AUDIENCES } from '../../uevents/audience.js';

export const MAX_PARENTS = 1024;
export const MAX_SLOTS = 65536;
const MAX_DEVICES = 100_000;
const MAX_INT = 0x7fffffff;

const KERNELS = Object.keys(KERNEL_PROFILES) as readonly KernelVersion[];
/** States that a request can ask for. */
export const STATES = ['STOP', 'RUNNING', 'STOP_COPY', 'RESUMING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P'] as const;

const list = (words: readonly (string | number)[]): string => words.join(', ');
const oneOf = <const T extends readonly (string | number)[]>(words: T): v.PicklistSchema<T, string> =>
  v.picklist(words, `one of ${list(words)}`);
const whole = (least: number, most: number, unit = ''): v.GenericSchema<number> => {
  const expected = `a whole number${unit === '' ? '' : ` of ${unit}`} from ${least} to ${most}`;
  return v.pipe(v.number(expected), v.integer(expected), v.minValue(least, expected), v.maxValue(most, expected));
};
const text = (expected: string): v.GenericSchema<string> => v.pipe(v.string(expected), v.minLength(1, expected));

/** A key that is none of a list's indexes. */
const name = (expected: string): v.GenericSchema<string> => v.pipe(v.string(expected), v.regex(/^\D/, expected));

/** A mapping that has no other keys. Its message is the list of keys. */
function mapping<T extends v.ObjectEntries>(entries: T): v.StrictObjectSchema<T, string> {
  return v.strictObject(entries, list(Object.keys(entries)));
}

/** What an editor shows. */
function about<T extends v.GenericSchema>(
  description: string, schema: T,
): v.SchemaWithPipe<readonly [T, v.DescriptionAction<v.InferOutput<T>, string>]> {
  return v.pipe(schema, v.description(description));
}

const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;
const uuid = v.pipe(v.string('a UUID'), v.regex(UUID, 'a UUID'));

/** `64 MiB` */
export const SIZE = /^(\d{1,9}) ?([KMG])iB$/;
const byteCount = (most: number, what: string): v.GenericSchema<number | string> => {
  const expected = `${what}: a whole number up to ${most}, or one with KiB, MiB or GiB`;
  const plain = v.pipe(v.number(), v.integer(expected), v.minValue(0, expected), v.maxValue(most, expected));
  return v.union([plain, v.pipe(v.string(), v.regex(SIZE, expected))], expected);
};

const WORDS = migrationFeatureWords(ALL_MIGRATION_FEATURES);
const features = about('What a device can do in a migration; stop-copy must be there. Default: all that the driver can.',
  v.pipe(
    v.array(oneOf(WORDS), `a list of ${list(WORDS)}`),
    v.check((words) => words.includes('stop-copy'), 'a list with stop-copy in it'),
  ));

const policy = about('When migration_block answers EBUSY.', oneOf(BLOCKER_POLICY_NAMES));

type ForStates<T extends v.GenericSchema> =
  v.StrictObjectSchema<Record<(typeof STATES)[number], v.OptionalSchema<T, undefined>>, string>;
function forStates<T extends v.GenericSchema>(schema: T): ForStates<T> {
  return mapping(v.entriesFromList(STATES, v.optional(schema)));
}

const errno = v.picklist(Object.keys(ERRNO) as ErrnoName[], 'the name of an error, as in EIO');

const faults = about('Fault knobs, as in sys/kernel/debug/mdevsim/<uuid>/.', mapping({
  delay: v.optional(about('Milliseconds to wait before a state is entered.',
    forStates(whole(0, MAX_INT, 'milliseconds')))),
  fail: v.optional(about('Transitions that fail.', forStates(mapping({
    errno,
    times: v.optional(about('How many times; default 1.', whole(1, MAX_INT))),
    error: v.optional(about('Whether the device is in ERROR after it; default false.', v.boolean('true or false'))),
  })))),
  stream_fail: v.optional(about('Reading or writing this byte of a data stream fails.',
    mapping({ byte: whole(0, Number.MAX_SAFE_INTEGER), errno }))),
  stream_cut: v.optional(about('Data streams end before this byte.', whole(0, Number.MAX_SAFE_INTEGER))),
  state_size: v.optional(about('Generated device state beyond the driver\'s own.',
    byteCount(GENERATED_STATE_MAX, 'a size in bytes'))),
  dirty_rate: v.optional(about('How much of the generated state changes in a second of PRE_COPY.',
    byteCount(Number.MAX_SAFE_INTEGER, 'bytes per second'))),
}));

const value = v.union([v.string(), v.number(), v.boolean()]);
const attributeValue = v.union([value, v.array(value)], 'text, a number, true, false, or a list of these');

const driver = mapping({
  name: about('The driver: a name, or the path of a module, from this file.', v.union(
    [oneOf(DRIVER_NAMES), v.pipe(v.string(), v.regex(/^\.{0,2}\//))],
    `one of ${list(DRIVER_NAMES)}, or a path as in ./my-driver.js`,
  )),
  parents: v.optional(about('How many parent devices; default 1.', whole(1, MAX_PARENTS))),
  features: v.optional(features),
  types: v.optional(about('What differs for single types, by name (mtty-1).',
    v.record(name('the name of a type'), mapping({ features: v.optional(features) }),
      'a mapping from type names to what differs for them'))),
  options: v.optional(about('What only this driver has.',
    v.record(name('the name of an option'), v.unknown(), 'a mapping of options'))),
});

const device = mapping({
  type: about('Name of the type, as in mdev_supported_types.', text('the name of a type, as in mtty-1')),
  uuid: v.optional(about('Default: a random one. With count: that of the first; the last twelve digits count up.',
    uuid)),
  parent: v.optional(about('Name of the parent device, as in mtty1. Default: the first that has one left.',
    text('the name of a parent, as in mtty1'))),
  count: v.optional(about('How many such devices; default 1.', whole(1, MAX_DEVICES))),
  policy: v.optional(policy),
  features: v.optional(features),
  protocol: v.optional(about('How a vGPU of driver gvt migrates. Default: as the driver\'s options say.', oneOf(PROTOCOL_NAMES))),
  faults: v.optional(faults),
  attributes: v.optional(about('What is written to attributes of the device, in this order; a list: one after the other.',
    v.record(name('the name of an attribute'), attributeValue, 'a mapping from attributes to values'))),
});

export const LAB_FILE = v.pipe(mapping({
  kernel: v.optional(about('Whose answers to give where kernel versions differ; default 6.12.',
    v.picklist([...KERNELS, ...KERNELS.map(Number)], `one of ${list(KERNELS)}`))),
  policy: v.optional(policy),
  slots: v.optional(about('For mdevsim run: as its option --slots.', whole(0, MAX_SLOTS))),
  xattrs: v.optional(about('Whether files can have extended attributes; default false.', v.boolean('true or false'))),
  uevents: v.optional(about('To whom uevents are sent on netlink, as --uevents says it; default: to nobody.',
    v.picklist(UEVENT_AUDIENCES, `one of ${list(UEVENT_AUDIENCES)}`))),
  drivers: v.optional(about('Drivers to load; default: mtty with one parent.', v.array(driver, 'a list of drivers'))),
  devices: v.optional(about('Devices that exist from the start.', v.array(device, 'a list of devices'))),
}), v.title('mdevsim lab file'));

export type LabFileContent = v.InferOutput<typeof LAB_FILE>;
export type LabFileDevice = v.InferOutput<typeof device>;
export type LabFileDriver = v.InferOutput<typeof driver>;
export type LabFileFaults = v.InferOutput<typeof faults>;
