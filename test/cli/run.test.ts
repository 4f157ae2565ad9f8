import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { asRoot, eventually, isMounted, LOUD_DRIVER, MDEVSIM, mdevsim, Server, shell } from './mdevsim.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const run = (script: string, ...options: string[]): ReturnType<typeof mdevsim> =>
  mdevsim(['run', '--slots', '2', ...options, '--', 'sh', '-c', script]);
/** Without slots. */
const runCommand = (...argv: string[]): string[] => ['run', '--slots', '0', '--', ...argv];

describe('mdevsim run', asRoot, () => {
  it('passes on arguments, input, output and the exit status', () => {
    const argv = runCommand('sh', '-c', 'cat; echo "$1|$2" >&2; exit 42', 'sh', 'a  b', '--json');
    const { status, stdout, stderr } = mdevsim(argv, { input: 'hello\n' });
    assert.deepEqual({ status, stdout, stderr }, { status: 42, stdout: 'hello\n', stderr: 'a  b|--json\n' });
  });

  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGINT'] as const) {
    it(`ends by ${signal} as the command does`, async () => {
      const [file = '', ...args] = [...MDEVSIM, 'run', '--slots', '0', '--', 'sh', '-c', 'echo up; exec sleep 60'];
      const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      child.stdout.once('data', () => child.kill(signal));
      const ended = await new Promise((resolve) => child.once('exit', (status, by) => resolve({ status, by })));
      assert.deepEqual(ended, { status: null, by: signal });
    });
  }

  it('lets the command handle signals itself', async () => {
    const script = 'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done';
    const [file = '', ...args] = [...MDEVSIM, ...runCommand('sh', '-c', script)];
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.once('data', () => child.kill('SIGTERM'));
    assert.equal(await new Promise((resolve) => child.once('exit', (status) => resolve(status))), 9);
  });

  it('shows the lab in /sys and /dev, beside what the machine has', () => {
    const script = `
      cat /sys/bus/mdev/devices/${UUID}/migration_block
      readlink /sys/bus/mdev/devices/${UUID}
      cat /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/device_api
      basename $(readlink /sys/bus/mdev/devices/${UUID}/iommu_group)
      ls /sys/kernel/iommu_groups/0/devices
      test -e /dev/vfio/vfio && test -e /dev/vfio/0 && test -e /dev/iommu && echo nodes
      cat /sys/class/vfio/0/uevent
      test -e /sys/kernel/debug/vfio/${UUID}/migration/state && echo debugfs
      test -d /sys/bus/pci -o -d /sys/bus/platform && echo bus
      test -c /dev/null && echo null > /dev/null && echo null
      ls -d /sys/class/net/lo`;
    const { stdout, stderr, status } = run(script, '--mdev', `mtty-1,uuid=${UUID}`);
    assert.equal(stderr, '');
    assert.deepEqual(stdout.trimEnd().split('\n').filter((line) => !/^(MAJOR|MINOR)=/.test(line)), [
      '0', `../../../devices/virtual/mtty/mtty/${UUID}`, 'vfio-pci', '0', UUID, 'nodes', 'DEVNAME=vfio/0', 'debugfs',
      'bus', 'null', '/sys/class/net/lo',
    ]);
    assert.equal(status, 0);
  });

  it('follows devices that come and go', () => {
    const create = '/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create';
    const { stdout } = run(`
      ls /sys/class/vfio; echo ${UUID} > ${create}; ls /dev/vfio /sys/kernel/iommu_groups
      echo 1 > /sys/bus/mdev/devices/${UUID}/remove; ls /sys/class/vfio
      echo ${UUID} > ${create}; test -e /sys/class/vfio/0/uevent && echo again`);
    const expected = ['/dev/vfio:', '0', 'devices', 'vfio', '', '/sys/kernel/iommu_groups:', '0', 'again'];
    assert.deepEqual(stdout.trimEnd().split('\n'), expected);
  });

  it('leaves the machine outside alone', () => {
    const before = shell('ls /sys/bus /dev; cat /proc/self/mounts | grep -v mdevsim').stdout;
    run('true');
    assert.equal(shell('ls /sys/bus /dev; cat /proc/self/mounts | grep -v mdevsim').stdout, before);
  });

  it('gives the command its slots, and nothing else of ours', () => {
    const script = 'for fd in /proc/self/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && readlink $fd; done; ulimit -n';
    const { stdout } = mdevsim(['run', '--slots', '3', '--', 'bash', '--norc', '-c', script]);
    const slots = stdout.split('\n').filter((line) => line.includes('.slots'));
    assert.deepEqual(slots.map((line) => /\/(\d+)-/.exec(line)?.[1]), ['512', '513', '514']);
    assert.ok(!stdout.includes('anon_inode') && !stdout.includes('/dev/fuse'), stdout);
  });

  it('has a lab that goes on when its driver prints', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-run-'));
    writeFileSync(join(dir, 'loud.mjs'), LOUD_DRIVER);
    const script = 'cd /sys/bus/mdev/devices/*/; for n in 1 2 3; do cat value; sleep 0.1; done';
    const { stdout, stderr } = mdevsim(['run', '--driver', join(dir, 'loud.mjs'), '--mdev', 'loud-1', '--', 'sh', '-c', script]);
    assert.deepEqual([stdout, stderr], ['1\n1\n1\n', '']);
    rmSync(dir, { recursive: true });
  });

  it('has a lab that does not wait for the reader of its log, and leaves the pipe as it was', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-run-'));
    const script = 'for n in $(seq 300); do cat /sys/bus/mdev/devices/*/migration_block; done; sed -n "s/^flags://p" /proc/self/fdinfo/2';
    // Nobody reads before the command has ended, and the trace is longer than a pipe.
    const reader = 'until [ -e "$dir/done" ]; do sleep 0.05; done; wc -c > "$dir/size"';
    const { stdout } = shell(`dir=$1; shift; { "$@" 2>&1 > "$dir/out"; touch "$dir/done"; } | { ${reader}; }; tail -n 1 "$dir/out"; cat "$dir/size"`,
      ['bash'], [dir, ...MDEVSIM, 'run', '--trace', 'all', '--slots', '0', '--mdev', 'mtty-1', '--', 'sh', '-c', script]);
    const [flags = '', size] = stdout.trim().split(/\s+/);
    assert.equal(Number.parseInt(flags, 8) & 0o4000, 0, `O_NONBLOCK in ${flags}`);
    assert.ok(Number(size) > 60_000, stdout);
    rmSync(dir, { recursive: true });
  });

  it('says what to do where there can be no such number of open files', () => {
    const { status, stderr } = shell('ulimit -n 300; "$@"', ['bash'], [...MDEVSIM, 'run', '--slots', '256', '--', 'true']);
    assert.equal(status, 1);
    assert.match(stderr, /^mdevsim: at most 300 open files are allowed here, 768 are needed for 256 slots: raise .*ulimit -Hn.* --slots\n$/);
  });

  it('passes on descriptors that it was given', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-run-'));
    writeFileSync(join(dir, 'file'), 'through a descriptor\n');
    const fd = openSync(join(dir, 'file'), 'r');
    try {
      const { stdout } = mdevsim(['run', '--slots', '0', '--', 'sh', '-c', 'cat <&3'], { stdio: ['pipe', 'pipe', 'pipe', fd] });
      assert.equal(stdout, 'through a descriptor\n');
    } finally {
      closeSync(fd);
      rmSync(dir, { recursive: true });
    }
  });

  it('leaves signals as a shell would', () => {
    const { stdout } = run('grep -E "Sig(Ign|Blk)" /proc/self/status');
    const [blocked = '', ignored = ''] = stdout.split('\n').map((line) => line.split(/\s+/)[1] ?? '');
    assert.equal(BigInt(`0x${blocked}`), 0n);
    // SIGPIPE is 13.
    assert.equal(BigInt(`0x${ignored}`) & (1n << BigInt(constants.signals.SIGPIPE - 1)), 0n);
  });

  const STDIO: readonly (readonly [what: string, script: string])[] = [
    ['pipes', 'true | "$@" 2>&1 | cat'], ['sockets', '"$@"'],
    ['files', 'd=$(mktemp -d); touch $d/in; "$@" < $d/in > $d/out 2>> $d/out; cat $d/out; rm -r $d'],
  ];
  for (const [what, script] of STDIO) {
    it(`leaves stdio blocking: ${what}`, () => {
      const flags = 'for fd in 0 1 2; do sed -n "s/^flags://p" /proc/self/fdinfo/$fd; done';
      const { stdout, stderr } = shell(script, ['bash'], [...MDEVSIM, 'run', '--slots', '0', '--', 'sh', '-c', flags]);
      const words = stdout.trim().split(/\s+/);
      assert.equal(words.length, 3, stdout + stderr);
      for (const word of words) assert.equal(Number.parseInt(word, 8) & 0o4000, 0, `O_NONBLOCK in ${words.join(' ')}`);
    });
  }

  it('runs a script without a #! line', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-run-'));
    try {
      writeFileSync(join(dir, 'script'), 'echo "plain $1"\n', { mode: 0o755 });
      assert.equal(mdevsim(['run', '--slots', '0', '--', join(dir, 'script'), 'x']).stdout, 'plain x\n');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('keeps the working directory and the environment', () => {
    const argv = runCommand('sh', '-c', 'pwd; echo $TESTED');
    const { stdout } = mdevsim(argv, { cwd: '/usr', env: { ...process.env, TESTED: 'yes' } });
    assert.equal(stdout, '/usr\nyes\n');
  });

  it('tells list and another run where the lab is', () => {
    const [node = '', ...args] = MDEVSIM;
    const again = [node, ...args].map((word) => `'${word}'`).join(' ');
    const script = `${again} list --json; ${again} run --slots 0 --lab $MDEVSIM_LAB -- ls /sys/bus/mdev/devices`;
    const { stdout } = run(script, '--mdev', `mtty-1,uuid=${UUID}`);
    assert.equal(stdout.match(new RegExp(UUID, 'g'))?.length, 2, stdout);
  });

  it('ends its server with the command, and leaves no directory', async () => {
    const { stdout } = run('echo $MDEVSIM_LAB');
    const lab = stdout.trim();
    assert.match(lab, /mdevsim-/);
    await eventually('the directory to go', () => !existsSync(lab));
    const count = 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " | grep -c -- "$1"';
    const left = (): string => shell(count, ['sh'], [`${lab} --for`]).stdout.trim();
    // The grep's own shell has the pattern among its arguments.
    await eventually('the server to go', () => Number(left()) <= 2);
  });

  it('leaves no directory when the lab could not be made', () => {
    const temporary = mkdtempSync(join(tmpdir(), 'mdevsim-run-'));
    try {
      const { status } = mdevsim(['run', '--mdev', 'mtty-9', '--', 'true'], { env: { ...process.env, TMPDIR: temporary } });
      assert.equal(status, 1);
      assert.deepEqual(readdirSync(temporary).filter((name) => name.startsWith('mdevsim-')), []);
    } finally {
      rmSync(temporary, { recursive: true });
    }
  });

  it('ends its server when the command is killed', async () => {
    const [file = '', ...args] = [...MDEVSIM, 'run', '--slots', '0', '--', 'sh', '-c', 'echo $MDEVSIM_LAB; exec sleep 60'];
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const lab = await new Promise<string>((resolve) => {
      child.stdout.once('data', (data: Buffer) => resolve(data.toString().trim()));
    });
    child.kill('SIGKILL');
    await eventually('the directory to go', () => !existsSync(lab));
  });

  it('the command has no child that it did not start', () => {
    const { stdout } = run('cat /proc/$$/task/$$/children; echo end');
    assert.match(stdout.trim(), /^(\d+ )?end$|^\d+\s*end$/);
    assert.ok(stdout.trim().split(/\s+/).length <= 2, stdout);
  });
});

describe('mdevsim run --lab', asRoot, () => {
  it('uses a lab that goes on afterwards', async () => {
    await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    for (const [expected, value] of [['0', '1'], ['1', '0']] as const) {
      const script = `cd /sys/bus/mdev/devices/${UUID}; cat migration_block; echo ${value} > migration_block`;
      const { stdout, status } = run(script, '--lab', server.dir);
      assert.deepEqual([stdout, status], [`${expected}\n`, 0]);
    }
    assert.equal(isMounted(server.dir), true);
  });

  it('fails with one sentence when the server has died', async () => {
    await using server = await Server.start();
    server.process.kill('SIGKILL');
    await server.ended;
    const { status, stderr } = run('true', '--lab', server.dir);
    assert.equal(status, 1);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  });
});
