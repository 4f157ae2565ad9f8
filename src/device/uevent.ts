/**
 * Uevents: what the kernel broadcasts when an object comes, goes or changes, and what writing to an attribute `uevent` asks
 * for. Source: lib/kobject_uevent.c.
 */
import { Errno } from '../abi/errno.js';
import { trace } from '../trace/trace.js';

export const UEVENT_ACTIONS = ['add', 'remove', 'change', 'move', 'online', 'offline', 'bind', 'unbind'] as const;
export type UeventAction = (typeof UEVENT_ACTIONS)[number];

export interface Uevent {
  readonly action: UeventAction;
  /** Below /sys, `/devices/virtual/mtty/mtty`. */
  readonly devpath: string;
  readonly subsystem: string;
  /** Further variables in order, `DRIVER=mtty`. */
  readonly env: readonly string[];
  /** Grows by one with each event of the machine. */
  readonly seqnum: number;
}

/** The event's variables as the kernel sends them, but SEQNUM, which comes last. */
export const ueventEnvironment = ({ action, devpath, subsystem, env }: Uevent): string[] =>
  [`ACTION=${action}`, `DEVPATH=${devpath}`, `SUBSYSTEM=${subsystem}`, ...env];

/** Strings as netlink messages have them: each ended by a NUL. */
export const nulTerminated = (strings: readonly string[]): string => strings.map((text) => `${text}\0`).join('');

/** The bytes of the netlink message: header and variables, without SEQNUM, with which the kernel ends it. */
export const ueventBody = (event: Uevent): string => nulTerminated([`${event.action}@${event.devpath}`, ...ueventEnvironment(event)]);

/** An object that sends uevents. */
export interface UeventSource {
  readonly path: string;
  readonly subsystemName: string;
  /** Its own variables; the same as the content of its attribute `uevent`. */
  ueventVariables(): readonly string[];
}

export type UeventListener = (event: Uevent) => void;

export class UeventStream {
  readonly #listeners = new Set<UeventListener>();
  #seqnum = 0;

  /** Calls `listener` for each event, synchronously and in order. Returns the function that ends it. */
  subscribe(listener: UeventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** kobject_uevent_env(): `extra` comes before the object's own variables. */
  emit(action: UeventAction, source: UeventSource, extra: readonly string[] = []): void {
    const seqnum = ++this.#seqnum;
    trace('device.uevent', { action, path: source.path });
    if (this.#listeners.size === 0) return;
    const env = [...extra, ...source.ueventVariables()];
    const event: Uevent = { action, devpath: source.path, subsystem: source.subsystemName, env, seqnum };
    for (const listener of this.#listeners) listener(event);
  }
}

export interface SyntheticUevent {
  readonly action: UeventAction;
  /** SYNTH_UUID and SYNTH_ARG_* variables. */
  readonly env: readonly string[];
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;

/** Why a synthetic uevent was refused; `message` is the kernel's log line after the path. */
export class SyntheticUeventError extends Errno {
  constructor(readonly logMessage: string) {
    super('EINVAL', logMessage);
  }
}

/** kobject_synth_uevent(): `ACTION [UUID [KEY=VALUE]...]`. Throws EINVAL. */
export function parseSyntheticUevent(text: string): SyntheticUevent {
  const line = text.replace(/[\n\0]$/, '');
  const space = line.indexOf(' ');
  const word = space < 0 ? line : line.slice(0, space);
  const action = UEVENT_ACTIONS.find((known) => known === word);
  if (action === undefined) throw new SyntheticUeventError('unknown uevent action string');
  if (space < 0) return { action, env: ['SYNTH_UUID=0'] };
  const rest = line.slice(space + 1);
  const uuid = UUID.exec(rest)?.[0];
  if (uuid === undefined) throw new SyntheticUeventError('incorrect uevent action arguments');
  const pairs = rest.slice(uuid.length);
  if (!/^( [0-9a-z]+=[0-9a-z]+)*$/i.test(pairs)) throw new SyntheticUeventError('incorrect uevent action arguments');
  const args = pairs.split(' ').slice(1).map((pair) => `SYNTH_ARG_${pair}`);
  return { action, env: [`SYNTH_UUID=${uuid}`, ...args] };
}
