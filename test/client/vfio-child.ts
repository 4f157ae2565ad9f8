/**
 * A client process for vfio.test.ts: it is under `mdevsim run`, has a VM without QMP, and does what it is told, one action per
 * line on standard input. Each line is answered with one line of JSON: `value` or `error`; events and log lines since the last
 * answer come along.
 */
import { createInterface } from 'node:readline';
import { PCI_CAP_ID_MSI, PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE } from '../../src/abi/pci.js';
import { MainLoop } from '../../src/client/main-loop.js';
import { VfioDevices } from '../../src/client/vfio/devices.js';
import { DeviceMigration } from '../../src/client/vfio/migration.js';
import { PciDevice } from '../../src/client/vfio/pci-device.js';
import { VfioError } from '../../src/client/vm/device.js';
import type { VfioPciOptions } from '../../src/client/vm/device.js';
import { GuestLoad } from '../../src/client/vm/guest-load.js';
import { Ram } from '../../src/client/vm/ram.js';
import { Vm } from '../../src/client/vm/vm.js';
import type { PrepareEvents } from '../../src/client/vm/vm.js';

interface Settings {
  readonly prepareEvents?: PrepareEvents;
  readonly notify?: boolean;
  readonly onlyMigratable?: boolean;
}
const settings = JSON.parse(process.argv[2] ?? '{}') as Settings;
let happened: string[] = [];
const vm = new Vm({
  ram: new Ram(1 << 20), state: 'prelaunch', onlyMigratable: settings.onlyMigratable, prepareEvents: settings.prepareEvents,
  environment: {
    event: (name, data) => {
      const words = [name, data?.['device-state'], data?.['path']];
      happened.push(words.filter((word) => typeof word === 'string').join(' '));
    },
    log: (level, message) => happened.push(`${level}: ${message}`),
  },
});
const loop = new MainLoop();
const devices = new VfioDevices(vm, loop, { notify: settings.notify });
const device = (id = 'vf0'): PciDevice => {
  const found = devices.find(id);
  if (!(found instanceof PciDevice)) throw new Error(`no ${id}`);
  return found;
};
let load: GuestLoad | undefined;
let busy = false;
vm.migrationIsRunning = () => busy;

const migration = (id?: string): DeviceMigration => {
  const found = device(id).migration;
  if (!(found instanceof DeviceMigration)) throw new Error('no migration');
  return found;
};

export const ACTIONS = {
  add: (options: VfioPciOptions) => void devices.add(options),
  unplug: (id: string) => devices.unplug(device(id)),
  reset: () => devices.reset(),
  start: () => vm.start(),
  stop: (state: 'paused' | 'finish-migrate' | 'shutdown') => vm.stop(state),
  blockers: () => vm.blockers.reasons(),
  busy: (on: boolean) => void (busy = on),
  enableMigration: () => device().enableMigration,
  flags: () => migration().flags,
  state: () => migration().stateName,
  set: (state: number, recover: number) => migration().setState(state, recover),
  dataSize: () => Number(migration().dataSize()),
  precopyInfo: () => Object.values(migration().precopyInfo()).map(Number),
  read: (size: number) => {
    const buffer = new Uint8Array(size);
    return Buffer.from(buffer.subarray(0, migration().read(buffer))).toString('hex');
  },
  write: (id: string, hex: string) => migration(id).write(Buffer.from(hex, 'hex')),
  closeData: (id?: string) => migration(id).closeData(),
  setOf: (id: string, state: number) => migration(id).setState(state, 0),
  failed: () => vm.notifiers.call('failed'),
  dirtyTracking: () => [device().dirtyTracking, device().opened.iommuDirtyTracking],
  log: (what: 'start' | 'sync' | 'stop') => {
    if (what === 'start') vm.memory.startDirtyLog();
    else if (what === 'sync') vm.memory.syncDirtyLog();
    else vm.memory.stopDirtyLog();
    return vm.ram.dirtyPages();
  },
  notice: (start: boolean) => (start ? device().noticeStart() : device().noticeEnd()),
  notifies: () => device().notifies,
  config: (from: string, to: string) => device(to).loadConfig(device(from).saveConfig()),
  load: (pages: number, bytes: number) => void (load = new GuestLoad(vm, device(), { pages, bytes })),
  report: () => load?.report,
  outb: (register: number, value: number) => device().writeBar(0, register, Uint8Array.of(value)),
  inb: (register: number) => device().readBar(0, register, 1)[0],
  poke: (offset: number, hex: string) => device().writeBar(0, offset, Buffer.from(hex, 'hex')),
  /** As a guest's driver: flags of the capability. */
  msi: (on: boolean, id?: string) => {
    const { config } = device(id);
    const at = config.capability(PCI_CAP_ID_MSI);
    if (at === undefined) throw new Error('no MSI');
    const flags = config.get(at + PCI_MSI_FLAGS, 2);
    device(id).writeConfig(at + PCI_MSI_FLAGS, on ? flags | PCI_MSI_FLAGS_ENABLE : flags & ~PCI_MSI_FLAGS_ENABLE, 2);
  },
  msiEnabled: (id?: string) => device(id).config.msiEnabled,
  interrupts: () => {
    let count = 0;
    device().onInterrupt = () => happened.push(`interrupt ${++count}`);
  },
  /** Resolves when something has happened. */
  wait: async () => {
    while (happened.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  },
} as const;

async function act(line: string): Promise<void> {
  const [name, ...args] = JSON.parse(line) as [keyof typeof ACTIONS, ...unknown[]];
  let answer: object;
  try {
    const run = ACTIONS[name] as (...args: unknown[]) => unknown;
    answer = { value: await loop.run(() => (name === 'wait' ? undefined : run(...args))) };
    if (name === 'wait') await ACTIONS.wait();
  } catch (error) {
    answer = { error: error instanceof VfioError || error instanceof Error ? error.message : String(error) };
  }
  process.stdout.write(`${JSON.stringify({ ...answer, happened })}\n`);
  happened = [];
}

const lines = createInterface({ input: process.stdin });
let queue = Promise.resolve();
lines.on('line', (line) => void (queue = queue.then(() => act(line))));
lines.on('close', () => void queue.then(() => {
  devices.close();
  vm.ram.close();
  process.exit(0);
}));
