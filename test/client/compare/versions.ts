/**
 * What the source does otherwise in newer QEMUs, scenario by scenario: QEMU's lines with `+`, those of `mdevsim vmm`, which
 * does as QEMU 10 does, with `-`. Whatever is not in a row does not differ.
 */
export interface VersionRow {
  readonly why: string;
  readonly scenarios: readonly string[];
  readonly calls?: readonly string[];
  readonly events?: readonly string[];
}

const RUNNING = 'vfio-device VFIO_DEVICE_FEATURE SET MIG_DEVICE_STATE RUNNING -> 0';
const RUNNING_2 = 'vfio-device(2) VFIO_DEVICE_FEATURE SET MIG_DEVICE_STATE RUNNING -> 0';
const SAYS_RUNNING = 'VFIO_MIGRATION card running';
const SAYS_RUNNING_2 = 'VFIO_MIGRATION second running';
const STOP = 'vfio-device VFIO_DEVICE_FEATURE SET MIG_DEVICE_STATE STOP -> 0';
const CLOSE = 'migration-saving close';
const FAILING = '+MIGRATION failing';

const EARLY = 'devices hear that it failed, and run, before anything else; in 10 when all else is done';
const EARLY_AND_RESTARTED = `${EARLY}. So they run already when the machine is restarted`;
const SHOWS = 'the error shows as `failing`, until all is done';

const QEMU_11: readonly VersionRow[] = [
  {
    why: EARLY, calls: [`+${RUNNING}`, `-${RUNNING}`],
    scenarios: [
      'cancelled in setup, while the device enters PRE_COPY', 'cancelled while active, stop-copy pre-copy',
      'cancelled while active, stop-copy p2p pre-copy', 'the destination refuses to load',
    ],
  },
  {
    why: EARLY, events: ['-MIGRATION cancelled', '+MIGRATION cancelled'],
    scenarios: [
      'cancelled while active, stop-copy pre-copy', 'cancelled while active, stop-copy p2p pre-copy',
      'a stopped machine, cancelled before the switchover, goes on', 'two devices, cancelled while active, stop-copy p2p pre-copy',
    ],
  },
  {
    why: `${EARLY}. So one of a stopped machine runs, and is not in STOP_COPY when the data is closed`,
    calls: [`-${STOP}`, `-${CLOSE}`, `+${CLOSE}`], events: ['-VFIO_MIGRATION card stop', '-MIGRATION cancelled', '+MIGRATION cancelled'],
    scenarios: ['stopped while active, cancelled, goes on'],
  },
  {
    why: EARLY, events: ['-RESUME', '+RESUME'],
    scenarios: ['cancelled before the switchover, stop-copy', 'cancelled before the switchover, stop-copy pre-copy'],
  },
  {
    why: EARLY_AND_RESTARTED, calls: [`+${RUNNING}`],
    scenarios: [
      'cancelled before the switchover, stop-copy p2p', 'cancelled before the switchover, stop-copy p2p pre-copy',
      'PRE_COPY_P2P fails as the machine is stopped', 'RUNNING_P2P fails as the machine is stopped',
      'STOP_COPY fails when the machine has stopped, and STOP is recovered', 'the stream fails',
      'its user stops and continues the machine in PRE_COPY',
    ],
  },
  {
    why: EARLY_AND_RESTARTED, events: [`+${SAYS_RUNNING}`],
    scenarios: ['cancelled before the switchover, stop-copy p2p', 'cancelled before the switchover, stop-copy p2p pre-copy'],
  },
  {
    why: SHOWS, events: [FAILING],
    scenarios: [
      'PRE_COPY fails, and RUNNING is recovered', 'PRE_COPY fails and so does the way back: a reset', 'nobody listens',
      'two devices, the first fails: PRE_COPY EBUSY 1',
    ],
  },
  { why: SHOWS, events: [FAILING, FAILING], scenarios: ['device state by channels of its own, without multifd'] },
  {
    why: SHOWS, events: ['-MIGRATION failed', FAILING, '+MIGRATION failed'],
    scenarios: [
      'STOP_COPY fails as the machine is stopped', 'the device goes to ERROR', 'STOP fails', 'the destination refuses to load',
      'two devices, the second fails: PRE_COPY EBUSY 1', 'two devices, the destination refuses to load the second',
    ],
  },
  {
    why: `${SHOWS}; ${EARLY_AND_RESTARTED}`, events: ['-MIGRATION failed', FAILING, `+${SAYS_RUNNING}`, '+MIGRATION failed'],
    scenarios: [
      'PRE_COPY_P2P fails as the machine is stopped', 'RUNNING_P2P fails as the machine is stopped',
      'STOP_COPY fails when the machine has stopped, and STOP is recovered', 'the stream fails',
      'its user stops and continues the machine in PRE_COPY',
    ],
  },
  {
    why: `${SHOWS}; ${EARLY}`, events: ['-MIGRATION failed', '-RESUME', FAILING, '+RESUME', '+MIGRATION failed'],
    scenarios: ['the stream fails, stop-copy only'],
  },
  {
    why: EARLY, calls: [`+${RUNNING_2}`, `+${RUNNING}`, `-${RUNNING_2}`, `-${RUNNING}`],
    scenarios: ['two devices, cancelled while active, stop-copy p2p pre-copy', 'two devices, the destination refuses to load the second'],
  },
  { why: EARLY, calls: [`+${RUNNING}`, `-${RUNNING}`], scenarios: ['two devices, the second fails: PRE_COPY EBUSY 1'] },
  {
    why: EARLY_AND_RESTARTED, calls: [`+${RUNNING_2}`, `+${RUNNING}`], events: [`+${SAYS_RUNNING_2}`, `+${SAYS_RUNNING}`],
    scenarios: ['two devices, cancelled before the switchover, stop-copy p2p', 'two devices, cancelled before the switchover, stop-copy p2p pre-copy'],
  },
  {
    why: `${SHOWS}; ${EARLY_AND_RESTARTED}`, calls: [`+${RUNNING_2}`, `+${RUNNING}`],
    events: ['-MIGRATION failed', FAILING, `+${SAYS_RUNNING_2}`, `+${SAYS_RUNNING}`, '+MIGRATION failed'],
    scenarios: [
      'two devices, the first fails: PRE_COPY_P2P EIO 1', 'two devices, the second fails: PRE_COPY_P2P EIO 1',
      'two devices, the stream of the first fails', 'two devices, the stream of the second fails',
    ],
  },
  {
    why: `${SHOWS}; ${EARLY_AND_RESTARTED}`, calls: [`+${RUNNING_2}`],
    events: ['-MIGRATION failed', FAILING, `+${SAYS_RUNNING_2}`, '+MIGRATION failed'],
    scenarios: ['two devices, the first fails: STOP_COPY EIO 1', 'two devices, the first fails: STOP_COPY EIO 1 ERROR'],
  },
  {
    why: `${SHOWS}; ${EARLY_AND_RESTARTED}`, calls: [`+${RUNNING}`], events: ['-MIGRATION failed', FAILING, `+${SAYS_RUNNING}`, '+MIGRATION failed'],
    scenarios: ['two devices, the second fails: STOP_COPY EIO 1', 'two devices, the second fails: STOP_COPY EIO 1 ERROR'],
  },
];

/** The rows of a major version. */
export const versionRows = (major: number): readonly VersionRow[] => (major >= 11 ? QEMU_11 : []);

/** Lines that must go (`-`) and come (`+`), in order, to make `b` of `a`: the fewest, and of those the earliest go first. */
export function difference(a: readonly string[], b: readonly string[]): string[] {
  const common: number[][] = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  const at = (i: number, j: number): number => common[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const row = common[i];
      if (row !== undefined) row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: string[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      i++;
      j++;
    } else if (i < a.length && (j === b.length || at(i + 1, j) >= at(i, j + 1))) lines.push(`-${a[i++]}`);
    else lines.push(`+${b[j++]}`);
  }
  return lines;
}
