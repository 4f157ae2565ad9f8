import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { asRoot, eventually, isMounted, MDEVSIM, mdevsim, Server, shell } from './mdevsim.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

interface Ready {
  readonly dir: string;
  readonly sys: string;
  readonly dev: string;
  readonly devices: readonly {
    readonly uuid: string;
    readonly type: string;
    readonly parent: string;
    readonly group: number;
    readonly path: string;
    readonly groupNode: string;
  }[];
}

describe('mdevsim mount', asRoot, () => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    it(`prints ready, serves, and after ${signal} unmounts and exits with 0`, async () => {
      await using server = await Server.start();
      assert.equal(server.stdout, `ready ${server.dir}\n`);
      assert.equal(shell('cat "$1/sys/bus/mdev/drivers_autoprobe"', ['sh'], [server.dir]).stdout, '1\n');
      server.process.kill(signal);
      assert.deepEqual(await server.ended, { status: 0, signal: null });
      assert.equal(isMounted(server.dir), false);
      assert.equal(server.stderr, '');
    });
  }

  it('--json describes the lab in one line', async () => {
    const mdevs = ['--mdev', `mtty-2,uuid=${UUID},parent=mtty1`, '--mdev', 'mtty-1'];
    await using server = await Server.start(['--json', '--driver', 'mtty=2', ...mdevs]);
    const ready = JSON.parse(server.stdout) as Ready;
    assert.equal(ready.dir, server.dir);
    assert.equal(ready.sys, `${server.dir}/sys`);
    const [first, second] = ready.devices;
    assert.deepEqual([first?.uuid, first?.type, first?.parent, first?.group], [UUID, 'mtty-2', 'mtty1', 0]);
    assert.deepEqual([second?.type, second?.parent, second?.group], ['mtty-1', 'mtty', 1]);
    const paths = [first?.path ?? '', first?.groupNode ?? ''];
    assert.equal(shell('cat "$1/migration_block"; test -e "$2" && echo node', ['sh'], paths).stdout, '0\nnode\n');
  });

  it('--blocker sets the policy of devices, also of those created later', async () => {
    await using server = await Server.start(['--blocker', 'enforce']);
    const script = `cd "$1/sys"; echo ${UUID} > class/mdev_bus/mtty/mdev_supported_types/mtty-1/create
      cat kernel/debug/mdevsim/${UUID}/blocker`;
    assert.equal(shell(script, ['sh'], [server.dir]).stdout, 'enforce\n');
  });

  it('--driver mtty,features= says what its devices can do', async () => {
    await using server = await Server.start(['--driver', 'mtty,features=stop-copy', '--mdev', `mtty-1,uuid=${UUID}`]);
    const script = `cat "$1/sys/kernel/debug/vfio/${UUID}/migration/features" "$1/sys/kernel/debug/mdevsim/${UUID}/features"`;
    assert.equal(shell(script, ['sh'], [server.dir]).stdout, 'stop-copy\ndirty-tracking\nstop-copy\n');
  });

  it('--trace prints events on stderr', async () => {
    await using server = await Server.start(['--trace', 'mdev']);
    shell(`echo ${UUID} > "$1/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"`, ['sh'], [server.dir]);
    await eventually('the event', () => server.stderr.includes('mdev.create'));
    assert.match(server.stderr, new RegExp(`mdev.create uuid=${UUID} type=mtty-1 parent=mtty`));
  });

  it('refuses a directory that has a lab', async () => {
    await using server = await Server.start();
    const { status, stderr } = mdevsim(['mount', server.dir]);
    assert.equal(status, 1);
    assert.match(stderr, /^mdevsim: a lab is already mounted at .*\n$/);
  });

  it('refuses a directory whose server does not answer', async () => {
    await using server = await Server.start();
    server.process.kill('SIGSTOP');
    const { status, stderr } = mdevsim(['mount', server.dir]);
    server.process.kill('SIGCONT');
    assert.equal(status, 1);
    assert.match(stderr, /^mdevsim: a lab is already mounted at .*\n$/);
  });

  it('refuses an unknown driver, type and parent in one sentence', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-cli-'));
    try {
      for (const [args, message] of [
        [['--driver', 'nvidia'], /unknown driver 'nvidia'/],
        [['--mdev', 'mtty-9'], /no type mtty-9: there are mtty-1, mtty-2/],
        [['--mdev', 'mtty-1,parent=mtty7'], /no type mtty-1 on a parent mtty7/],
        [['--mdev', `mtty-1,uuid=${UUID}`, '--mdev', `mtty-1,uuid=${UUID}`], /it exists already/],
      ] as const) {
        const { status, stderr } = mdevsim(['mount', dir, ...args]);
        assert.match(stderr, message);
        assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
        assert.equal(status, 1);
      }
      assert.equal(isMounted(dir), false);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('mounts again where a server was killed', async () => {
    await using dead = await Server.start();
    dead.process.kill('SIGKILL');
    await dead.ended;
    assert.equal(isMounted(dead.dir), true);
    await using server = await Server.start([], dead.dir);
    assert.equal(shell('cat "$1/sys/bus/mdev/drivers_autoprobe"', ['sh'], [server.dir]).stdout, '1\n');
  });

  it('mounts again where a server was killed whose directory somebody had looked at', async () => {
    await using dead = await Server.start();
    // The kernel goes on answering stat(2) from what it has learned.
    assert.equal(shell('stat "$1"', ['sh'], [dead.dir]).status, 0);
    dead.process.kill('SIGKILL');
    await dead.ended;
    await using server = await Server.start([], dead.dir);
    assert.equal(shell('cat "$1/sys/bus/mdev/drivers_autoprobe"', ['sh'], [server.dir]).stdout, '1\n');
  });

  it('does not stay where it cannot say that it is ready', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-cli-'));
    const { status, stderr } = shell('exec "$@" > /dev/full', ['bash'], [...MDEVSIM, 'mount', dir]);
    assert.deepEqual([status, stderr], [1, 'mdevsim: cannot say that the lab is ready: ENOSPC: no space left on device, write\n']);
    assert.ok(!isMounted(dir));
    rmdirSync(dir);
  });

  it('serves before anybody has read that it is ready, also where that is long', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-cli-'));
    const many = Array.from({ length: 400 }, () => ['--mdev', 'mtty-1']).flat();
    const [file = '', ...args] = [...MDEVSIM, 'mount', dir, '--json', '--for', String(process.pid), '--driver', 'mtty=20', ...many];
    const reader = spawn('bash', ['-c', '"$@" | { read -r -n 1; until [ -e "$0" ]; do sleep 0.05; done; cat > /dev/null; }', `${dir}.read`, file, ...args]);
    try {
      await eventually('the lab', () => isMounted(dir));
      assert.equal(shell('ls "$1/sys/bus/mdev/devices" | wc -l', ['timeout', '10', 'sh'], [dir]).stdout.trim(), '400');
      assert.equal(mdevsim(['umount', dir]).status, 0);
    } finally {
      writeFileSync(`${dir}.read`, '');
      await once(reader, 'close');
      rmSync(`${dir}.read`);
    }
  });

  it('goes on when nobody reads its output', async () => {
    await using server = await Server.start(['--trace', 'all']);
    server.process.stderr?.destroy();
    server.process.stdout?.destroy();
    for (let i = 0; i < 5; i++) {
      assert.equal(shell('cat "$1/sys/bus/mdev/drivers_autoprobe"', ['sh'], [server.dir]).stdout, '1\n');
    }
  });
});

describe('mdevsim umount', asRoot, () => {
  it('ends a lab: its server exits with 0', async () => {
    await using server = await Server.start();
    assert.deepEqual(mdevsim(['umount', server.dir]), { status: 0, signal: null, stdout: '', stderr: '' });
    assert.deepEqual(await server.ended, { status: 0, signal: null });
  });

  it('removes a lab whose server died', async () => {
    await using server = await Server.start();
    server.process.kill('SIGKILL');
    await server.ended;
    assert.equal(mdevsim(['umount', server.dir]).status, 0);
    assert.equal(isMounted(server.dir), false);
  });
});

describe('mdevsim list', asRoot, () => {
  it('shows the devices of a lab', async () => {
    await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    shell(`echo 1 > "$1/sys/bus/mdev/devices/${UUID}/migration_block"`, ['sh'], [server.dir]);
    const { stdout, status } = mdevsim(['list', '--lab', server.dir]);
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^${server.dir}: 1 device\n`));
    assert.match(stdout, new RegExp(`\n${UUID} +mtty-1 +mtty +0 +1 +RUNNING\n`));
  });

  it('--json', async () => {
    await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    const listed = JSON.parse(mdevsim(['list', '--lab', server.dir, '--json']).stdout) as unknown;
    const device = { uuid: UUID, type: 'mtty-1', parent: 'mtty', group: 0, blocked: false, state: 'RUNNING' };
    assert.deepEqual(listed, [{ lab: server.dir, devices: [device] }]);
  });

  it('says that a server has died', async () => {
    await using server = await Server.start();
    server.process.kill('SIGKILL');
    await server.ended;
    const { status, stderr } = mdevsim(['list', '--lab', server.dir]);
    assert.equal(status, 1);
    assert.match(stderr, /its server has died; 'mdevsim umount/);
  });
});

describe('mdevsim mount --for', asRoot, () => {
  it('ends with that process and removes the directory', async () => {
    const dir = join(tmpdir(), `mdevsim-for-${process.pid}`);
    mkdirSync(dir);
    const sleeper = await Server.start();
    await using server = await Server.start(['--for', String(sleeper.process.pid)], dir);
    await sleeper[Symbol.asyncDispose]();
    assert.deepEqual(await server.ended, { status: 0, signal: null });
    assert.equal(existsSync(dir), false);
  });

  it('refuses a process that does not exist, and touches nothing', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-for-'));
    const gone = spawnSync('true').pid;
    for (const args of [['mount', dir], ['vmm', '--qmp', `unix:${dir}/qmp`]]) {
      const { status, stderr } = mdevsim([...args, '--for', String(gone)]);
      assert.deepEqual([status, stderr], [2, `mdevsim: --for: there is no process ${gone}\n`]);
    }
    rmdirSync(dir);
  });
});
