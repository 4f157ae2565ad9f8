/** The program as an ordinary user: root of a user namespace for `run`, fusermount3 for `mount`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MDEVSIM, Server, shell } from './mdevsim.js';
import { AS_NOBODY, asNobody, NOBODY, whyNotNobody } from './nobody.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

describe('mdevsim run as nobody', { skip: whyNotNobody('namespaces') }, () => {
  const run = (script: string, ...options: string[]): ReturnType<typeof asNobody> =>
    asNobody([...MDEVSIM, 'run', ...options, '--', 'sh', '-c', script]);

  it('has a lab in /sys and /dev, as root of a user namespace', () => {
    const { stdout, stderr, status } = run(`
      id -u; cat /proc/self/uid_map | tr -s " "; ls /sys/bus/mdev/devices
      cd /sys/bus/mdev/devices/${UUID}; echo 1 > migration_block && cat migration_block
      echo 1 > remove; ls /sys/bus/mdev/devices
      test -c /dev/null && echo null > /dev/null; exit 5`, '--mdev', `mtty-1,uuid=${UUID}`);
    assert.equal(stderr, '');
    assert.deepEqual(stdout.trim().split('\n').map((line) => line.trim()), ['0', '0 65534 1', UUID, '1']);
    assert.equal(status, 5);
  });

  it('runs in a lab of root', async () => {
    await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    const { stdout, stderr } = run(`cat /sys/bus/mdev/devices/${UUID}/migration_block`, '--lab', server.dir);
    assert.deepEqual({ stdout, stderr }, { stdout: '0\n', stderr: '' });
  });

  it('ends its server and leaves no directory', async () => {
    const lab = run('echo $MDEVSIM_LAB').stdout.trim();
    assert.match(lab, /mdevsim-/);
    for (let i = 0; i < 500 && existsSync(lab); i++) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(existsSync(lab), false);
  });

  it('opens a device with VFIO: seccomp and caller memory work there', () => {
    const client = join(import.meta.dirname, '../../scripts/lib/demo-eventfd.ts');
    const tsx = MDEVSIM.includes('--import') ? MDEVSIM[2] ?? 'tsx' : import.meta.resolve('tsx');
    const script = `grep Seccomp: /proc/self/status; echo count | '${process.execPath}' --import '${tsx}' '${client}' 0 ${UUID}`;
    const { stdout, stderr } = run(script, '--mdev', `mtty-1,uuid=${UUID}`);
    assert.deepEqual({ stdout, stderr }, { stdout: 'Seccomp:\t2\nlistening\ncount 0\n', stderr: '' });
  });
});

describe('mdevsim mount as nobody', { skip: whyNotNobody('fusermount3') }, () => {
  it('mounts through fusermount3, for itself only', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-nobody-'));
    chownSync(dir, NOBODY, NOBODY);
    chmodSync(dir, 0o755);
    const [file = '', ...args] = [...AS_NOBODY, ...MDEVSIM, 'mount', dir];
    const server = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });
    let said = '';
    server.stderr.on('data', (text: Buffer) => { said += text.toString(); });
    const ended = new Promise((resolve) => server.once('exit', (status) => resolve(status)));
    try {
      const ready = await new Promise<string>((resolve) => {
        server.stdout.once('data', (text: Buffer) => resolve(text.toString()));
        server.once('exit', () => resolve(`ended: ${said}`));
      });
      assert.equal(ready, `ready ${dir}\n`);
      assert.equal(asNobody(['cat', `${dir}/sys/bus/mdev/drivers_autoprobe`]).stdout, '1\n');
      assert.notEqual(shell('ls "$1/sys"', ['sh'], [dir]).status, 0, 'root was let in');
      assert.equal(asNobody([...MDEVSIM, 'umount', dir]).status, 0);
      assert.equal(await ended, 0);
    } finally {
      server.kill('SIGKILL');
      await ended;
      shell('umount -l "$1" 2>/dev/null', ['sh'], [dir]);
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
