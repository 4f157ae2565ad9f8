/**
 * What a VMM did to its device, from the lab's trace, one line a call. Two VMMs did the same when their lines are the same,
 * but for the differences that are named here with their reasons.
 */
import type { QmpEvent } from '../../../src/client/qmp/client.js';
import type { Kind } from './machine.js';

const CLOSE = ' close';

/** Calls by process, in the order in which the lab answered them. */
export class TraceReader {
  readonly #calls = new Map<number, string[]>();
  /** Devices of a process, in the order in which it has called them. */
  readonly #devices = new Map<number, string[]>();
  /** Attributes read or written so far: what was traced before one of them has come in when it does. */
  marks = 0;
  #rest = '';

  feed(data: string): void {
    const lines = (this.#rest + data).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  /** What the end of a process closes is in no order: the kernel goes by numbers, and which was free depends on what else was open. */
  of(pid: number): readonly string[] {
    const calls = this.#calls.get(pid) ?? [];
    const end = calls.findLastIndex((call) => !call.endsWith(CLOSE)) + 1;
    return [...calls.slice(0, end), ...calls.slice(end).sort()];
  }

  #line(line: string): void {
    if (/^\s*[\d.]+ sysfs\./.test(line)) this.marks++;
    const match = /^\s*[\d.]+ (vfio\.ioctl|vfio\.io|slot\.unbind) (.*)$/.exec(line);
    if (match === null) return;
    const pairs = [...(match[2] ?? '').matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|\S+)/g)];
    const fields = new Map(pairs.map(([, key, value]) => [key ?? '', (value ?? '').replace(/^"|"$/g, '')]));
    const field = (key: string): string => fields.get(key) ?? '';
    const pid = Number(field('pid'));
    const [kind = '', device] = field('file').split(' ');
    const file = kind + (device === undefined ? '' : this.#number(pid, device));
    const call = match[1] === 'vfio.ioctl' ? `${file} ${field('command')} -> ${resultOf(field('command'), field('result'))}`
      : match[1] === 'slot.unbind' ? file + CLOSE
        : `${file} ${field('operation')} ${position(kind, Number(field('offset')))} ${field('size')} -> ${field('result')}`;
    const list = this.#calls.get(pid) ?? [];
    list.push(call);
    this.#calls.set(pid, list);
  }

  /** Nothing for the first device, `(2)` for the second. */
  #number(pid: number, device: string): string {
    const devices = this.#devices.get(pid) ?? [];
    if (!devices.includes(device)) this.#devices.set(pid, [...devices, device]);
    const at = devices.includes(device) ? devices.indexOf(device) : devices.length;
    return at === 0 ? '' : `(${at + 1})`;
  }
}

/** Which number of a descriptor is free depends on what else a program has open. */
const resultOf = (command: string, result: string): string =>
  (command === 'VFIO_GROUP_GET_DEVICE_FD' && /^\d+$/.test(result) ? 'a descriptor' : result);

/** Region and offset of a device; the position in a stream. */
function position(file: string, offset: number): string {
  return file === 'vfio-device' ? `${Math.floor(offset / 2 ** 40)}+0x${(offset % 2 ** 40).toString(16)}` : String(offset);
}

/** A query of what is pending: the dirty pages (where they may be asked for), the devices' sizes, and in PRE_COPY what may be read now. */
const PENDING = [
  / (VFIO_DEVICE_FEATURE GET DMA_LOGGING_REPORT|IOMMU_HWPT_GET_DIRTY_BITMAP.*|VFIO_IOMMU_DIRTY_PAGES flags=4) -> 0$/,
  / GET MIG_DATA_SIZE -> 0$/,
  / VFIO_MIG_GET_PRECOPY_INFO -> 0$/,
] as const;

const PIECE = / iova=\d+ length=\d+/;

/** A device in PRE_COPY that has nothing to give for now. */
const NOTHING_YET = /^migration-saving(\(\d\))? read \d+ \d+ -> (0|ENOMSG)$/;

const LOG_STARTED = / (DMA_LOGGING_START|IOMMU_HWPT_SET_DIRTY_TRACKING .*|VFIO_IOMMU_DIRTY_PAGES flags=1) -> 0$/;
const RESUMING = / SET MIG_DEVICE_STATE RESUMING /;

interface KnownDifference {
  /** In whose lines. */
  readonly in: readonly Kind[];
  readonly call: RegExp;
  /** Left out altogether, or every run of them counted once, without PIECE. */
  readonly treatment: 'absent' | 'once';
  readonly why: string;
  /** Only where stock QEMU's major version is at least that. */
  readonly since?: number;
}

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    in: ['vmm'], call: /^vfio-device(\(\d\))? VFIO_DEVICE_(GET_IRQ_INFO|SET_IRQS) index=5 /, treatment: 'absent',
    why: 'stock QEMU does not know the interrupt of migration_block',
  },
  {
    in: ['qemu', 'vmm'], call: /^(vfio-container VFIO_IOMMU_(UN)?MAP_DMA|iommufd IOMMU_IOAS_(UN)?MAP) /, treatment: 'absent',
    why: 'q35 maps its RAM in pieces, around holes and ROMs, and again when they change; vmm has one piece',
  },
  {
    in: ['qemu', 'vmm'], call: PENDING[0], treatment: 'once', why: 'one for each piece of RAM, whose address and length it names',
  },
  {
    in: ['qemu', 'vmm'], since: 11, call: /^vfio-container VFIO_CHECK_EXTENSION -> [01]$/, treatment: 'absent',
    why: '11 asks a container for more extensions than it needs here',
  },
  {
    in: ['qemu'], since: 11, call: /^iommufd IOMMU_IOAS_CHANGE_PROCESS -> ENOTTY$/, treatment: 'absent',
    why: '11 asks whether an iommufd can go over to another process',
  },
  {
    in: ['qemu', 'vmm'], since: 11, call: /^iommufd IOMMU_GET_HW_INFO -> 0$/, treatment: 'absent',
    why: '11 asks when it has an IOAS, not before, and once more when it has the device',
  },
  {
    in: ['qemu'], since: 11, call: /^vfio-device(\(\d\))? VFIO_DEVICE_FEATURE SET 12 -> ENOTTY$/, treatment: 'absent',
    why: '11 wants to be told when a device in PRE_COPY has new initial bytes (MIG_PRECOPY_INFOv2)',
  },
];

/**
 * The calls with the known differences taken out. How often a migration asks what is pending, after its setup, is a matter of
 * time: such queries are left out where they come in whole, and so are reads in PRE_COPY that give nothing. Of a migration
 * that fails, how much had come through is a matter of buffers: QEMU sends its stream in pieces of 32 KiB.
 */
export function comparable(kind: Kind, calls: readonly string[], version = 0): string[] {
  const lines: string[] = [];
  /** Numbers of the devices that are in it. */
  const precopy = new Set<string>();
  for (const call of calls) {
    const [, number = '', state] = /^vfio-device(\(\d\))? .* SET MIG_DEVICE_STATE (\w+).* -> 0$/.exec(call) ?? [];
    if (state?.startsWith('PRE_COPY') === true) precopy.add(number);
    else if (state !== undefined) precopy.delete(number);
    const waits = NOTHING_YET.exec(call);
    if (waits !== null && precopy.has(waits[1] ?? '')) continue;
    const known = KNOWN_DIFFERENCES.find((row) => row.in.includes(kind) && (row.since ?? 0) <= version && row.call.test(call));
    if (known?.treatment === 'absent') continue;
    const line = known?.treatment === 'once' ? call.replace(PIECE, '') : call;
    if (known?.treatment === 'once' && lines.slice(endOfOthers(lines, known.call)).includes(line)) continue;
    lines.push(line);
  }
  if (!lines.slice(lines.findLastIndex((line) => RESUMING.test(line)) + 1).some((line) => / SET MIG_DEVICE_STATE /.test(line))) {
    return lines.filter((line) => !/^migration-resuming(\(\d\))? write /.test(line));
  }
  for (let size = lines.length - 1; size > 0; size--) {
    if (!PENDING[1].test(lines[size] ?? '')) continue;
    const at = endOfOthers(lines.slice(0, size), PENDING[0]);
    let end = size + 1;
    while (PENDING[1].test(lines[end] ?? '') || PENDING[2].test(lines[end] ?? '')) end++;
    const whole = at < size || PENDING[2].test(lines[end - 1] ?? '');
    if (!whole || LOG_STARTED.test(lines[at - 1] ?? '')) continue;
    lines.splice(at, end - at);
    size = at;
  }
  return lines;
}

/** Behind the last line that is not such a call. */
const endOfOthers = (lines: readonly string[], call: RegExp): number => lines.findLastIndex((line) => !call.test(line)) + 1;

/** Events by name and what they tell; how many passes there are is a matter of time. */
export function eventWords(events: readonly QmpEvent[]): string[] {
  return events.filter(({ event }) => event !== 'MIGRATION_PASS').map(({ event, data }) => {
    const words = ['device-id', 'status', 'device-state', 'reason'].map((name) => data[name]);
    return [event, ...words.filter((word) => typeof word === 'string')].join(' ');
  });
}
