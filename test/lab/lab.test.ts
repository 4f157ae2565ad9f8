/** The library as its user has it. The lab is served by this process, so everything that touches the mount is another process. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Errno, isErrno, Lab, MountError } from '../../src/index.js';
import type { ErrnoName, LabEvent, LabOptions } from '../../src/index.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const OTHER = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002';
const why = process.getuid?.() !== 0 ? 'needs root' : !existsSync('/dev/fuse') ? 'needs /dev/fuse' : false;

/** A real shell, asynchronously. Resolves with its output, rejects when it fails. */
function shell(script: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const argv = ['--norc', '-c', script, 'bash', ...args];
    execFile('bash', argv, { timeout: 20_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(stderr.trim()));
    });
  });
}

async function withLab(options: LabOptions, body: (lab: Lab) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'mdevsim-lib-'));
  try {
    await using lab = await Lab.mount(dir, options);
    await body(lab);
  } finally {
    rmdirSync(dir);
  }
}

const inLab = (body: (lab: Lab) => Promise<void>, options: LabOptions = {}) => (): Promise<void> => withLab(options, body);
const errno = (code: ErrnoName) => (error: unknown): boolean => isErrno(error, code);

describe('Lab', { skip: why }, () => {
  it('creates devices that other processes see at once', inLab(async (lab) => {
    const device = lab.createDevice({ type: 'mtty-1', uuid: UUID.toUpperCase() });
    assert.equal(device.uuid, UUID);
    const { type, parent, group, index, inUse, removed } = device;
    assert.deepEqual([type, parent, group, index, inUse, removed], ['mtty-1', 'mtty', 0, 0, false, false]);
    assert.equal((await shell('cat "$1/migration_block"', join(lab.dir, device.path))).trim(), '0');
    assert.deepEqual(await readdir(join(lab.dir, 'sys/bus/mdev/devices')), [UUID]);
    assert.equal(lab.device(UUID), device);
    assert.deepEqual(lab.devices, [device]);
  }));

  it('knows its parents and types, and what is left', inLab(async (lab) => {
    assert.deepEqual(lab.parents, ['mtty', 'mtty1']);
    lab.createDevice({ type: 'mtty-2', parent: 'mtty1' });
    const types = lab.types.map(({ name, parent, available }) => `${parent} ${name} ${available}`);
    assert.deepEqual(types, ['mtty mtty-1 24', 'mtty mtty-2 12', 'mtty1 mtty-1 22', 'mtty1 mtty-2 11']);
  }, { drivers: [{ name: 'mtty', parents: 2 }] }));

  it('createDevice() rejects what a kernel rejects', inLab(async (lab) => {
    lab.createDevice({ type: 'mtty-1', uuid: UUID });
    assert.throws(() => lab.createDevice({ type: 'mtty-2', uuid: UUID }), errno('EEXIST'));
    assert.throws(() => lab.createDevice({ type: 'mtty-1', uuid: 'x' }), errno('EINVAL'));
    assert.throws(() => lab.createDevice({ type: 'mtty-9' }), errno('ENODEV'));
    assert.throws(() => lab.createDevice({ type: 'mtty-1', parent: 'mtty9' }), errno('ENODEV'));
    for (let i = 0; i < 23; i++) lab.createDevice({ type: 'mtty-1' });
    assert.throws(() => lab.createDevice({ type: 'mtty-1' }), errno('ENOSPC'));
    assert.equal(lab.devices.length, 24);
  }));

  it('sees what others do: create, block, remove', inLab(async (lab) => {
    const seen: LabEvent[] = [];
    lab.on((event) => seen.push(event));
    const parent = join(lab.dir, 'sys/class/mdev_bus/mtty');
    await shell(`
      echo ${UUID} > "$1/mdev_supported_types/mtty-1/create"; cd "$1/${UUID}"
      for value in 1 1 0; do echo $value > migration_block; done; echo 1 > remove`, parent);
    const brief = seen.flatMap((event) => {
      if (event.type === 'device') return [event.change];
      if (event.type === 'block') return [`block ${event.blocked}`];
      return event.type === 'uevent' ? [`${event.action} ${event.subsystem}`] : [];
    });
    assert.deepEqual(brief, [
      'add mdev', 'add vfio', 'add vfio-dev', 'bind mdev', 'created', 'block true', 'block false',
      'removing', 'remove vfio-dev', 'remove vfio', 'unbind mdev', 'remove mdev', 'removed',
    ]);
    assert.ok(seen.every((event, index) => index === 0 || event.time >= (seen[index - 1]?.time ?? 0)));
    assert.deepEqual(lab.devices, []);
  }));

  it('next() waits for an event, and gives up when told', inLab(async (lab) => {
    const device = lab.createDevice({ type: 'mtty-1' });
    const blocked = lab.next('block', ({ uuid, blocked: value }) => uuid === device.uuid && value);
    await shell('echo 1 > "$1/migration_block"', join(lab.dir, device.path));
    assert.equal((await blocked).refused, false);
    const stop = new AbortController();
    const never = lab.next('state', undefined, stop.signal);
    stop.abort(new Error('enough'));
    await assert.rejects(never, /enough/);
    await assert.rejects(lab.next('state', undefined, AbortSignal.abort(new Error('before'))), /before/);
  }));

  it('changes devices from inside as from outside', inLab(async (lab) => {
    const device = lab.createDevice({ type: 'mtty-1' });
    device.block();
    assert.equal(device.blocked, true);
    assert.equal(await device.read('migration_block'), '1\n');
    await device.write('migration_block', '0\n');
    assert.equal(await readFile(join(lab.dir, device.path, 'migration_block'), 'utf8'), '0\n');
    await assert.rejects(device.write('migration_block', 'maybe'), errno('EINVAL'));
    await assert.rejects(device.write('nothing', '1'), errno('ENOENT'));
    await assert.rejects(device.read('remove'), errno('EACCES'));
    await assert.rejects(device.read('vendor'), errno('EISDIR'));
    assert.equal(await device.read('vendor/sample_mdev_dev'), `This is MDEV ${device.uuid}\n`);
    assert.equal(await lab.read('sys/bus/mdev/drivers_autoprobe'), '1\n');
    await lab.write('sys/bus/mdev/drivers_autoprobe', '0');
    assert.equal(await lab.read('sys/bus/mdev/drivers_autoprobe'), '0\n');
  }));

  it('sets policies and faults', inLab(async (lab) => {
    const device = lab.createDevice({ type: 'mtty-1' });
    assert.equal(device.policy, 'enforce');
    device.setPolicy('observe');
    assert.equal((await shell('cat "$1"', join(lab.dir, `sys/kernel/debug/mdevsim/${device.uuid}/blocker`))).trim(), 'observe');
    await device.fault('state_size', 1 << 20);
    await device.fault('delay', 'STOP_COPY 5');
    assert.equal(await device.readFault('state_size'), String(1 << 20));
    assert.equal(await device.readFault('delay'), 'STOP_COPY 5');
    await assert.rejects(device.fault('delay', 'NOWHERE 5'), errno('EINVAL'));
    assert.equal(device.migrationState, 'RUNNING');
    assert.equal(device.migrationRunning, false);
  }, { blocker: 'enforce' }));

  it('remove() takes the device out; then it answers ENODEV', inLab(async (lab) => {
    const device = lab.createDevice({ type: 'mtty-1' });
    await device.remove();
    await device.remove();
    assert.equal(device.removed, true);
    assert.equal(lab.device(device.uuid), undefined);
    assert.throws(() => device.block(), errno('ENODEV'));
    await assert.rejects(device.read('migration_block'), errno('ENOENT'));
    await assert.rejects(shell('cat "$1/migration_block"', join(lab.dir, device.path)), /No such file or directory/);
  }));

  it('a device that is unbound from its driver is not removed', inLab(async (lab) => {
    const device = lab.createDevice({ type: 'mtty-1' });
    await lab.write('sys/bus/mdev/drivers/mtty/unbind', device.uuid);
    assert.equal(device.removed, false);
    assert.throws(() => device.block(), errno('ENODEV'));
    await device.remove();
    assert.equal(device.removed, true);
  }));

  it('a device made anew is another one', inLab(async (lab) => {
    const former = lab.createDevice({ type: 'mtty-1', uuid: UUID });
    await former.remove();
    lab.createDevice({ type: 'mtty-1', uuid: UUID });
    assert.equal(former.removed, true);
  }));

  it('a listener that throws changes nothing of what it hears of; the process gets its exception', inLab(async (lab) => {
    const device = lab.createDevice({ type: 'mtty-1' });
    const heard: boolean[] = [];
    const end = lab.on((event) => { if (event.type === 'block') throw new Error('of the listener'); });
    lab.on((event) => { if (event.type === 'block') heard.push(event.blocked); });
    const caught = new Promise<unknown>((resolve) => {
      const former = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (error) => {
        for (const listener of former) process.on('uncaughtException', listener);
        resolve(error);
      });
    });
    await shell('echo 1 > "$1/migration_block"', join(lab.dir, device.path));
    assert.match(String(await caught), /of the listener/);
    end();
    assert.deepEqual([device.blocked, heard], [true, [true]]);
  }));

  it('keeps the kernel log and tells of it', inLab(async (lab) => {
    const line = lab.next('klog', ({ message }) => message.includes(UUID));
    lab.createDevice({ type: 'mtty-1', uuid: UUID });
    const { message } = await line;
    assert.ok(lab.klog.includes(message));
  }));

  const withOther: LabOptions = { devices: [{ type: 'mtty-1', uuid: OTHER }] };
  it('two labs in one process do not know each other', inLab((first) => withLab(withOther, async (second) => {
    first.createDevice({ type: 'mtty-1', uuid: UUID });
    const events: LabEvent[] = [];
    second.on((event) => events.push(event));
    const list = 'ls "$1/sys/bus/mdev/devices"';
    assert.deepEqual([await shell(list, first.dir), await shell(list, second.dir)], [`${UUID}\n`, `${OTHER}\n`]);
    first.device(UUID)?.block();
    assert.deepEqual(events, []);
  })));

  it('unmount() ends what waits for events, and what begins to', async () => {
    let waits: Promise<unknown> | undefined;
    let lab: Lab | undefined;
    await withLab({}, (mounted) => {
      lab = mounted;
      waits = mounted.next('block');
      return Promise.resolve();
    });
    await assert.rejects(waits ?? Promise.resolve(), { message: 'the lab has ended: unmounted' });
    await assert.rejects(lab?.next('block') ?? Promise.resolve(), { message: 'the lab has ended: unmounted' });
  });

  it('unmount() is idempotent and ends everything', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-lib-'));
    const lab = await Lab.mount(dir);
    await Promise.all([lab.unmount(), lab.unmount()]);
    await lab.unmount();
    assert.equal(await lab.ended, 'unmounted');
    assert.deepEqual(await readdir(dir), []);
    rmdirSync(dir);
  });

  it('ended tells of an unmount from outside', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-lib-'));
    const lab = await Lab.mount(dir);
    await shell('umount "$1"', dir);
    assert.equal(await lab.ended, 'unmounted');
    await lab.unmount();
    rmdirSync(dir);
  });

  it('mount() rejects a directory that is none, an unknown driver and an unknown type', async () => {
    await assert.rejects(Lab.mount('/nonexistent/directory'), MountError);
    await assert.rejects(Lab.mount('/etc/passwd'), MountError);
    await assert.rejects(Lab.mount(tmpdir(), { drivers: [{ name: 'nvidia' }] }), RangeError);
    await assert.rejects(Lab.mount(tmpdir(), { devices: [{ type: 'mtty-9' }] }), Errno);
  });

  it('leaves no descriptor behind', async () => {
    const count = async (): Promise<number> => (await readdir('/proc/self/fd')).length;
    await withLab({}, async () => undefined);
    const before = await count();
    for (let i = 0; i < 5; i++) {
      await withLab({ devices: [{ type: 'mtty-1' }] }, async (lab) => void await readdir(join(lab.dir, 'sys')));
    }
    assert.ok(await count() <= before, 'descriptors were left');
  });
});
