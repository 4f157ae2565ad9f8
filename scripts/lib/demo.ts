/**
 * The story that scripts/demo tells, with two `mdevsim vmm`, or with --qemu two stock QEMUs. The VMMs, bash, the file system and
 * the eventfds are real; only the machine is ours.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../src/index.js';
import type { LabDevice, QmpClient } from '../../src/index.js';
import { Child } from '../../test/e2e/child.js';
import { DeadlineError, until, within } from '../../test/e2e/deadline.js';
import { connectMonitor } from '../../test/e2e/monitor.js';
import { RootShell } from './demo-shell.js';

const ROOT = join(import.meta.dirname, '../..');
const MDEVSIM = [process.execPath, join(ROOT, 'dist/src/main.js')];
const SOURCE_UUID = '11111111-1111-4111-8111-111111111111';
const TARGET_UUID = '22222222-2222-4222-8222-222222222222';
/** Generated device state, bytes: mtty's own is 96. */
const STATE_SIZE = 32 << 20;
/** Bytes of state that change in a second while it is pre-copied: more than BANDWIDTH, so that the migration takes time. */
const DIRTY_RATE = 64 << 20;
/** Bytes per second. */
const BANDWIDTH = 16 << 20;
/** ms; an emulated machine is slow. */
const MIGRATION_LIMIT = 60_000;
const WITH_QEMU = process.argv.includes('--qemu');
/** How long the migration is watched, ms; emulated, QEMU needs longer to get anywhere. */
const WATCH = WITH_QEMU ? 1000 : 300;

const start = performance.now();
const say = (text: string): void => console.log(`${((performance.now() - start) / 1000).toFixed(3).padStart(8)} s  ${text}`);
const sub = (text: string): void => console.log(`             ${text}`);

const children: ChildProcess[] = [];

/** What `mdevsim run` starts, or `mdevsim vmm`, with an incoming migration or none. */
function command(lab: Lab, socket: string, uuid: string, incoming: string | undefined): string[] {
  if (!WITH_QEMU) {
    const device = ['--device', `${uuid},id=vf0,migration-events=on`, '--qmp', `unix:${socket}`];
    return ['vmm', '--lab', lab.dir, ...device, ...(incoming === undefined ? [] : ['--incoming', incoming])];
  }
  return [
    'run', '--lab', lab.dir, '--', 'qemu-system-x86_64', '-M', 'q35,accel=tcg', '-m', '64M', '-nodefaults', '-no-user-config',
    '-display', 'none', '-qmp', `unix:${socket},server=on,wait=off`,
    '-device', `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${uuid},migration-events=on`, ...(incoming === undefined ? [] : ['-incoming', incoming]),
  ];
}

/** Starts a VMM, and resolves with its monitor. */
function startMachine(scratch: string, lab: Lab, name: string, uuid: string, incoming?: string): Promise<QmpClient> {
  const socket = join(scratch, `${name}.qmp`);
  const child = new Child(name, [...MDEVSIM, ...command(lab, socket, uuid, incoming)]);
  children.push(child.process);
  return connectMonitor(socket, child);
}

/** Counts what happens to one device while the story goes on. */
class Observer {
  signals = 0;
  bytes = 0;
  readonly states: string[] = [];

  constructor(lab: Lab, device: LabDevice) {
    lab.on((event) => {
      if (!('uuid' in event) || event.uuid !== device.uuid) return;
      if (event.type === 'block' && !event.refused) this.signals++;
      if (event.type === 'data') this.bytes = Math.max(this.bytes, event.bytes);
      if (event.type === 'state') this.states.push(event.to);
    });
  }
}

const showEcho = (command: string, { status, stderr }: { status: number; stderr: string }): void => {
  sub(`# ${command}`);
  if (stderr !== '') sub(`  ${stderr}`);
  sub(`  exit status ${status}`);
};

/** Stock QEMU knows nothing of the blocker's eventfd, so another program listens to it. */
async function eventfdStory(lab: Lab, group: number, echo: (value: number) => Promise<unknown>): Promise<void> {
  const client = [process.execPath, '--import', 'tsx', join(ROOT, 'scripts/lib/demo-eventfd.ts'), String(group), SOURCE_UUID];
  const eventfd = new RootShell([...MDEVSIM, 'run', '--lab', lab.dir, '--', ...client]);
  children.push(eventfd.child);
  say('a program opens the device with VFIO and gives it an eventfd for the blocker interrupt');
  await eventfd.line(/^listening/);
  for (const value of [1, 1, 0]) await echo(value);
  eventfd.write('count\n');
  const count = (await eventfd.line(/^count/)).slice('count '.length);
  say(`its eventfd was signalled ${count} times: once per change, not for the second 1`);
  eventfd.write('end\n');
  await eventfd.ended;
}

/** The VMM's own ear is at the eventfd: a block becomes a migration blocker. */
async function blockerStory(vmm: QmpClient, incoming: string, echo: (value: number) => Promise<unknown>): Promise<void> {
  say('before the migration a block is accepted, and the VMM hears of it by its eventfd');
  const reasons = async (): Promise<readonly string[]> => (await vmm.execute('query-migrate'))['blocked-reasons'] ?? [];
  for (const value of [1, 1]) await echo(value);
  const [reason] = await until(10, 'the blocker', async () => (await reasons()).length > 0 ? reasons() : undefined);
  sub(`query-migrate says: blocked-reasons ["${reason ?? ''}"]`);
  const refused = await vmm.execute('migrate', { uri: incoming }).then(() => undefined, (error: unknown) => error);
  if (!(refused instanceof Error)) throw new Error('the migration should have been refused');
  sub(`migrate says: ${refused.message}`);
  await echo(0);
  await until(10, 'the end of the blocker', async () => (await reasons()).length === 0 ? true : undefined);
  sub('query-migrate says: no blocked-reasons');
}

async function story(scratch: string, labDir: string): Promise<void> {
  const devices = [SOURCE_UUID, TARGET_UUID].map((uuid) => ({ type: 'mtty-2', uuid }));
  const lab = await Lab.mount(labDir, { devices });
  try {
    const [source, target] = [lab.device(SOURCE_UUID), lab.device(TARGET_UUID)];
    if (source === undefined || target === undefined) throw new Error('the devices are missing');
    say(`a lab with two mtty devices is mounted at ${lab.dir}`);
    await source.fault('state_size', STATE_SIZE);
    await source.fault('dirty_rate', DIRTY_RATE);
    const [observer, other] = [new Observer(lab, source), new Observer(lab, target)];

    const shell = new RootShell([...MDEVSIM, 'run', '--lab', lab.dir, '--slots', '0', '--', 'bash', '--norc']);
    children.push(shell.child);
    const file = `/sys/bus/mdev/devices/${SOURCE_UUID}/migration_block`;
    const echo = async (value: number): Promise<number> => {
      const done = await shell.run(`echo ${value} > ${file}`);
      showEcho(`echo ${value} > migration_block`, done);
      return done.status;
    };

    if (WITH_QEMU) await eventfdStory(lab, source.group, echo);

    say(`two ${WITH_QEMU ? 'unmodified QEMUs' : 'VMMs'} start, each with one of the devices as vfio-pci`);
    const incoming = `unix:${join(scratch, 'migration')}`;
    const [vmm, peer] = await Promise.all([
      startMachine(scratch, lab, 'source', SOURCE_UUID), startMachine(scratch, lab, 'target', TARGET_UUID, incoming),
    ]);
    const { qemu: { major, minor } } = await vmm.execute('query-version');
    say(`${WITH_QEMU ? `QEMU ${major}.${minor} runs` : 'they run'}; the devices are ${source.migrationState} and ${target.migrationState}`);

    if (WITH_QEMU) {
      say('before the migration a block is accepted (and taken back)');
      for (const value of [1, 0]) await echo(value);
    } else {
      await blockerStory(vmm, incoming, echo);
    }

    await vmm.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
    await vmm.execute('migrate-set-parameters', { 'max-bandwidth': BANDWIDTH, 'downtime-limit': 300 });
    observer.states.length = 0;
    const enters = (device: string, state: string): Promise<unknown> =>
      lab.next('state', (event) => event.uuid === device && event.to === state, AbortSignal.timeout(60_000));
    const saving = enters(SOURCE_UUID, 'PRE_COPY');
    const resumed = enters(TARGET_UUID, 'RUNNING');
    saving.catch(() => undefined);
    resumed.catch(() => undefined);
    await vmm.execute('migrate', { uri: incoming });
    await saving;
    const began = performance.now();
    say(`the migration has begun: the source's device is in ${source.migrationState}`);
    const during = await echo(1);
    say(`query-migrate says: ${(await vmm.execute('query-migrate')).status}`);
    if (during === 0) throw new Error('the block should have failed');
    await sleep(WATCH);
    say(`${observer.bytes} device bytes were read so far; now the migration may use all bandwidth, so that it can end`);
    await source.fault('dirty_rate', 0);
    await vmm.execute('migrate-set-parameters', { 'max-bandwidth': 0, 'downtime-limit': 2000 });

    const end = await vmm.status(['completed', 'failed'], 0, MIGRATION_LIMIT);
    const info = await vmm.execute('query-migrate');
    say(`the migration ${String(end.data['status'])} after ${((performance.now() - began) / 1000).toFixed(2)} s`);
    if (info.status !== 'completed') throw new Error(info['error-desc'] ?? 'the migration failed');
    await resumed;
    sub(`${WITH_QEMU ? 'QEMU' : 'the VMM'} moved ${info.vfio?.transferred ?? 0} device bytes`);
    sub(`source: RUNNING ${observer.states.map((state) => `-> ${state}`).join(' ')}`);
    sub(`target: ${other.states.slice(other.states.indexOf('RESUMING')).map((state) => `${state} `).join('-> ').trim()}`);

    say('after it a block is accepted again');
    await echo(1);
    say(`blocker interrupts signalled in all: ${observer.signals} on the source, ${other.signals} on the target`);
    for (const qmp of [vmm, peer]) {
      await qmp.execute('quit').catch(() => undefined);
      qmp.close();
    }
    shell.write('exit\n');
  } finally {
    for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
    await lab.unmount();
  }
}

const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-demo-'));
const labDir = join(scratch, 'lab');
mkdirSync(labDir);
process.once('exit', () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
try {
  await within(120, 'the story to end', story(scratch, labDir));
  say('everything is cleaned up');
  process.exit(0);
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  console.error(`The demo failed: ${error instanceof DeadlineError ? text.split('\n')[0] : text}`);
  process.exit(1);
}
