/** What defineDriver() and create() are given, looked at before it is used: a user's module need not be TypeScript. */
import * as v from 'valibot';

/** Whatever VFIO, the driver core or the lab puts into the directory of every device. */
const TAKEN = ['driver', 'iommu_group', 'mdev_type', 'migration_block', 'power', 'remove', 'subsystem', 'uevent', 'vfio-dev'];

const NAME = v.pipe(v.string('a string'), v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, 'a name of letters, digits, `_`, `-` and `.`'));
const FUNCTION = v.function('a function');
const COUNT = v.pipe(v.number('a number'), v.integer('a whole number'), v.minValue(1, 'a number above 0'));

const TYPE = v.strictObject({ name: NAME, label: v.optional(v.string('a string')), instances: v.optional(COUNT) }, 'an object of name, label and instances');
const DRIVER = v.object({
  name: NAME, types: v.pipe(v.array(TYPE, 'a list of types'), v.minLength(1, 'a list of at least one type')), create: FUNCTION,
}, 'an object');

const ATTRIBUTE = v.pipe(
  v.object({ show: v.optional(FUNCTION), store: v.optional(FUNCTION) }, 'an object with show() or store()'),
  v.check(({ show, store }) => show !== undefined || store !== undefined, 'an object with show() or store()'),
);
const FREE_NAME = v.pipe(NAME, v.check((name) => !TAKEN.includes(name), 'a name that no device has already'));
const REGION = v.object({
  size: v.pipe(v.number('a number'), v.safeInteger('a whole number'), v.minValue(0, 'not below 0')), read: v.optional(FUNCTION),
  write: v.optional(FUNCTION),
}, 'an object with size');
const DEVICE = v.object({
  attributes: v.optional(v.record(FREE_NAME, ATTRIBUTE, 'an object of attributes')),
  regions: v.optional(v.pipe(v.array(v.optional(REGION), 'a list of regions'), v.maxLength(9, 'at most 9 regions'))),
  state: v.optional(v.object({ save: FUNCTION, load: FUNCTION }, 'an object with save() and load()')),
  reset: v.optional(FUNCTION), remove: v.optional(FUNCTION),
}, 'an object');

type Schema = v.GenericSchema<unknown, unknown>;

/** Throws TypeError, `types[0].instances must be a number, not "4"`; of what is wrong, the first. */
function check(schema: Schema, value: unknown): void {
  const [issue] = v.safeParse(schema, value).issues ?? [];
  if (issue === undefined) return;
  const steps = (issue.path ?? []).map(({ key, input }) => (Array.isArray(input) ? `[${String(key)}]` : `.${String(key)}`));
  const name = (parts: readonly string[]): string => parts.join('').replace(/^\./, '') || 'it';
  if (issue.expected === 'never') throw new TypeError(`${name(steps.slice(0, -1))} has no '${String(issue.path?.at(-1)?.key)}'`);
  if (issue.received === 'undefined') throw new TypeError(`${name(steps)} is missing`);
  throw new TypeError(`${name(steps)} must be ${issue.message}, not ${issue.received}`);
}

export const checkDriver = (driver: unknown): void => check(DRIVER, driver);
export const checkDevice = (device: unknown): void => check(DEVICE, device);
