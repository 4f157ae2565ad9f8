/** Devices of a machine that is not mounted yet, made as asked for. What is refused is reported, and the rest goes on. */
import { randomUUID } from 'node:crypto';
import { Errno, withDetail } from '../abi/errno.js';
import type { MdevCore } from '../mdev/core.js';
import type { MdevDevice } from '../mdev/device.js';
import type { MdevType } from '../mdev/type.js';
import { writeAttribute } from './attributes.js';

export interface DeviceRequest {
  /** `mtty-1` */
  readonly type: string;
  /** Default: a random one. */
  readonly uuid?: string;
  /** Name of the parent, `mtty1`. Default: the first parent that has one left. */
  readonly parent?: string;
}

export interface DeviceSetup extends DeviceRequest {
  /** Texts for files in sys/kernel/debug/mdevsim/<uuid>/, by name: `blocker`, `delay`. Written first. */
  readonly knobs?: Readonly<Record<string, string>>;
  /** What is written to attributes in its directory, by name: `vendor/x`. Each text is one write(2). */
  readonly attributes?: Readonly<Record<string, string | readonly string[]>>;
}

/** A place in LabOptions: `drivers`, 0 or `devices`, 7, `attributes`, `migration_block`. */
export type SetupPath = readonly [
  kind: 'drivers' | 'devices', index: number, part?: 'types' | 'options' | 'knobs' | 'attributes',
  name?: string | undefined,
];

export interface SetupProblem {
  readonly path: SetupPath;
  /** Errno, or RangeError with a sentence for the user. */
  readonly error: unknown;
}

export type Report = (path: SetupPath, error: unknown) => void;

export function allTypes(core: MdevCore): MdevType[] {
  return [...core.registrations.values()].flatMap(({ parents }) => parents.flatMap(({ types }) => [...types.values()]));
}

/** Throws ENODEV (no such type or parent), EINVAL (not a UUID), EEXIST, ENOSPC. */
export function createDevice(core: MdevCore, { type, uuid = randomUUID(), parent }: DeviceRequest): MdevDevice {
  const chosen = choose(core, type, parent);
  if (chosen !== undefined) return create(core, chosen, uuid);
  const types = allTypes(core);
  const known = [...new Set(types.map(({ name }) => name))].join(', ');
  const parents = [...new Set(types.map((one) => one.parent.name))].join(', ');
  const where = parent === undefined ? '' : ` on a parent ${parent}`;
  throw new Errno('ENODEV', `no type ${type}${where}: there are ${known}${parent === undefined ? '' : ` on ${parents}`}`);
}

function create(core: MdevCore, type: MdevType, uuid: string): MdevDevice {
  try {
    return core.create(type, uuid);
  } catch (error) {
    throw withDetail(error, `${type.name} on ${type.parent.name}`);
  }
}

/** The first that has something left; where none has, the first. Called ten thousand times in a row. */
function choose(core: MdevCore, type: string, parent: string | undefined): MdevType | undefined {
  let first: MdevType | undefined;
  for (const registration of core.registrations.values()) {
    for (const one of registration.parents) {
      const found = parent === undefined || one.name === parent ? one.types.get(type) : undefined;
      if (found !== undefined && found.availableInstances > 0) return found;
      first ??= found;
    }
  }
  return first;
}

/** Never throws. */
export async function setUpDevices(core: MdevCore, devices: readonly DeviceSetup[], report: Report): Promise<void> {
  for (const [index, setup] of devices.entries()) {
    try {
      await configure(core, createDevice(core, setup), setup, (part, name, error) =>
        report(['devices', index, part, name], error));
    } catch (error) {
      report(['devices', index], error);
    }
  }
}

async function configure(
  core: MdevCore, mdev: MdevDevice, { knobs = {}, attributes = {} }: DeviceSetup,
  report: (part: 'knobs' | 'attributes', name: string, error: unknown) => void,
): Promise<void> {
  const { root } = core.machine;
  const write = async (part: 'knobs' | 'attributes', directory: string, name: string, text: string) => {
    try {
      await writeAttribute(root, `${directory}/${name}`, text);
    } catch (error) {
      report(part, name, error instanceof Errno ? new Errno(error.code) : error);
    }
  };
  const debug = `sys/kernel/debug/mdevsim/${mdev.uuid}`;
  for (const [name, text] of Object.entries(knobs)) await write('knobs', debug, name, text);
  for (const [name, texts] of Object.entries(attributes)) {
    for (const text of typeof texts === 'string' ? [texts] : texts) await write('attributes', `sys${mdev.path}`, name, text);
  }
}
