/**
 * The knobs of fault injection: one file each in debugfs mdevsim/<uuid>/. A row says how a knob reads and what it takes; what it
 * doesn't take is EINVAL and changes nothing. `off` clears a knob that can be unset.
 *
 *   delay        "<state> <ms>" lines: wait before entering the state; 0 takes the line away
 *   fail         "<state> <errno> <n> [ERROR]" lines: the next n steps into the state fail; ERROR: and leave the device in ERROR
 *   stream_fail  "<byte> <errno>": reading or writing this byte of a data stream fails
 *   stream_cut   "<byte>": data streams end before this byte
 *   state_size   "<bytes>": generated device state after the driver's own, up to 4 GiB
 *   dirty_rate   "<bytes per second>": how fast the generated state changes during PRE_COPY
 *   features     "stop-copy p2p pre-copy": what the device can do from now on
 */
import { ERRNO, Errno } from '../abi/errno.js';
import type { ErrnoName } from '../abi/errno.js';
import { VFIO_DEVICE_STATE_ERROR } from '../abi/vfio.js';
import { rw } from '../sysfs/attribute.js';
import type { Attribute } from '../sysfs/attribute.js';
import { bindGroup } from '../sysfs/group.js';
import type { AttributeGroup } from '../sysfs/group.js';
import { GENERATED_STATE_MAX } from '../vfio/generated-state.js';
import { migrationFeatureWords, parseMigrationFeatures } from '../vfio/migration-features.js';
import { migrationStateName, migrationStateNumber } from '../vfio/migration-states.js';
import type { FaultInjector } from './faults.js';

interface Knob {
  readonly name: string;
  /** Without the last newline. */
  show(faults: FaultInjector): string;
  /** The words of each line. Throws EINVAL (or RangeError, the same) before anything is changed. */
  set(faults: FaultInjector, lines: readonly (readonly string[])[]): void;
  /** What `off` does; without it `off` is EINVAL. */
  clear?(faults: FaultInjector): void;
}

const MAX_INT = 0x7fffffff;

function parseNumber(word: string | undefined, max: number): number {
  if (word === undefined || !/^\d{1,15}$/.test(word)) throw new Errno('EINVAL');
  const value = Number(word);
  if (value > max) throw new Errno('EINVAL');
  return value;
}

/** Any state that a request can ask for. */
function parseState(word: string | undefined): number {
  const state = migrationStateNumber(word ?? '');
  if (state === undefined || state === VFIO_DEVICE_STATE_ERROR) throw new Errno('EINVAL');
  return state;
}

function parseErrno(word: string | undefined): ErrnoName {
  if (word === undefined || !Object.hasOwn(ERRNO, word)) throw new Errno('EINVAL');
  return word as ErrnoName;
}

function expectWords(words: readonly string[], min: number, max = min): void {
  if (words.length < min || words.length > max) throw new Errno('EINVAL');
}

function onlyLine(lines: readonly (readonly string[])[]): readonly string[] {
  const [line] = lines;
  if (line === undefined || lines.length !== 1) throw new Errno('EINVAL');
  return line;
}

function onlyNumber(lines: readonly (readonly string[])[], max: number): number {
  const words = onlyLine(lines);
  expectWords(words, 1);
  return parseNumber(words[0], max);
}

/** `off` for an unset knob. */
const orOff = (text: string): string => (text === '' ? 'off' : text);

const KNOBS: readonly Knob[] = [
  {
    name: 'delay',
    show: (faults) => orOff([...faults.delays].map(([state, ms]) => `${migrationStateName(state)} ${ms}`).join('\n')),
    set: (faults, lines) => {
      const delays = new Map(faults.delays);
      for (const words of lines) {
        expectWords(words, 2);
        const state = parseState(words[0]);
        const milliseconds = parseNumber(words[1], MAX_INT);
        if (milliseconds === 0) delays.delete(state);
        else delays.set(state, milliseconds);
      }
      faults.delays = delays;
    },
    clear: (faults) => void (faults.delays = new Map()),
  },
  {
    name: 'fail',
    show: (faults) => orOff([...faults.fails].map(([state, { code, count, entersError }]) =>
      `${migrationStateName(state)} ${code} ${count}${entersError ? ' ERROR' : ''}`).join('\n')),
    set: (faults, lines) => {
      const fails = new Map(faults.fails);
      for (const words of lines) {
        expectWords(words, 3, 4);
        const [state, code, count] = [parseState(words[0]), parseErrno(words[1]), parseNumber(words[2], MAX_INT)];
        if (words[3] !== undefined && words[3] !== 'ERROR') throw new Errno('EINVAL');
        if (count === 0) fails.delete(state);
        else fails.set(state, { code, count, entersError: words[3] === 'ERROR' });
      }
      faults.fails = fails;
    },
    clear: (faults) => void (faults.fails = new Map()),
  },
  {
    name: 'stream_fail',
    show: ({ streamFail }) => (streamFail === undefined ? 'off' : `${streamFail.byte} ${streamFail.code}`),
    set: (faults, lines) => {
      const words = onlyLine(lines);
      expectWords(words, 2);
      faults.streamFail = { byte: parseNumber(words[0], Number.MAX_SAFE_INTEGER), code: parseErrno(words[1]) };
    },
    clear: (faults) => void (faults.streamFail = undefined),
  },
  {
    name: 'stream_cut',
    show: ({ streamCut }) => (streamCut === undefined ? 'off' : String(streamCut)),
    set: (faults, lines) => void (faults.streamCut = onlyNumber(lines, Number.MAX_SAFE_INTEGER)),
    clear: (faults) => void (faults.streamCut = undefined),
  },
  {
    name: 'state_size',
    show: (faults) => String(faults.stateSize),
    set: (faults, lines) => void (faults.stateSize = onlyNumber(lines, GENERATED_STATE_MAX)),
  },
  {
    name: 'dirty_rate',
    show: (faults) => String(faults.dirty),
    set: (faults, lines) => void (faults.dirty = onlyNumber(lines, Number.MAX_SAFE_INTEGER)),
  },
  {
    name: 'features',
    show: (faults) => migrationFeatureWords(faults.features.flags).join(' '),
    set: (faults, lines) => faults.features.setFlags(parseMigrationFeatures(onlyLine(lines).join(' '))),
  },
];

function toAttribute(knob: Knob): Attribute<FaultInjector> {
  return rw<FaultInjector>(knob.name, (faults) => `${knob.show(faults)}\n`, (faults, data) => {
    const text = Buffer.from(data).toString('latin1').replace(/\n$/, '');
    if (text === 'off' && knob.clear !== undefined) {
      knob.clear(faults);
      return;
    }
    try {
      knob.set(faults, text.split('\n').map((line) => line.split(/[ \t]+/).filter((word) => word !== '')));
    } catch (error) {
      throw error instanceof RangeError ? new Errno('EINVAL', error.message) : error;
    }
  });
}

const FAULT_ATTRIBUTES = KNOBS.map(toAttribute);

/** For debugfs mdevsim/<uuid>/. */
export function faultDebugfsGroup(faults: FaultInjector): AttributeGroup {
  return bindGroup(faults, FAULT_ATTRIBUTES);
}
