import assert from 'node:assert/strict';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { asRoot, MDEVSIM, mdevsim, Server, shell } from './mdevsim.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
/** A mount namespace in which the lab is not mounted any more: another container, as far as mounts go. */
const other = (dir: string, command: readonly string[]): ReturnType<typeof shell> =>
  shell('umount -l "$1"; shift; exec "$@"', ['unshare', '--mount', '--propagation', 'private', 'sh'], [dir, ...command]);

describe('a lab of another mount namespace', asRoot, () => {
  it('is part of /sys and /dev under run --lab /proc/PID/root/DIR, and nothing of it stays', async () => {
    await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    const lab = `/proc/${server.process.pid}/root${server.dir}`;
    const script = `cat /sys/bus/mdev/devices/${UUID}/migration_block; ls /dev/vfio; pwd; echo "$MDEVSIM_LAB"`;
    const look = 'cd /usr; dir=$1; shift; "$@"; echo $?; grep -c " $dir " /proc/self/mountinfo';
    const run = [...MDEVSIM, 'run', '--slots', '2', '--lab', lab, '--', 'sh', '-c', script];
    const { stdout, stderr, status } = other(server.dir, ['sh', '-c', look, 'sh', server.dir, ...run]);
    assert.equal(stderr, '');
    assert.equal(stdout, `0\n0\ndevices\nvfio\n/usr\n${server.dir}\n0\n0\n`);
    assert.equal(status, 1);
  });

  it('lets a vmm in: its ioctls, descriptors and eventfds', async () => {
    await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-elsewhere-'));
    const lab = `/proc/${server.process.pid}/root${server.dir}`;
    const vmm = ['vmm', '--lab', lab, '--device', UUID, '--qmp', `unix:${scratch}/qmp`];
    const { stdout, stderr, status } = other(server.dir, ['sh', '-c', `
      scratch=$1; shift
      mkfifo "$scratch/ready"; "$@" > "$scratch/ready" & vmm=$!
      read -r line < "$scratch/ready"; echo "$line" | cut -d' ' -f1
      kill $vmm 2>/dev/null; wait $vmm; echo $?; rm -f "$scratch"/*`, 'sh', scratch, ...MDEVSIM, ...vmm]);
    rmdirSync(scratch);
    assert.equal(stderr, '');
    assert.equal(stdout, 'ready\n0\n');
    assert.equal(status, 0);
  });

  it('may be listed, and written to as a plain file', async () => {
    await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    const lab = `/proc/${server.process.pid}/root${server.dir}`;
    const block = `${lab}/sys/bus/mdev/devices/${UUID}/migration_block`;
    const script = 'echo 1 > "$1"; cat "$1"; shift; exec "$@"';
    const { stdout, status } = other(server.dir, ['sh', '-c', script, 'sh', block, ...MDEVSIM, 'list', '--lab', lab]);
    assert.match(stdout, new RegExp(`^1\\n${lab}: 1 device\\n.*\\n${UUID} +mtty-1 +mtty +0 +1 +RUNNING\\n$`));
    assert.equal(status, 0);
  });

  it('is refused where that process sees no lab, and where there is no such process', () => {
    for (const lab of ['/proc/1/root/no/lab', '/proc/4194304/root/lab']) {
      const { stderr, status } = mdevsim(['run', '--lab', lab, '--', 'true']);
      assert.match(stderr, /^mdevsim: \/proc\S+ is not a mounted lab: process \d+ here sees none at \/\S+; containers must share/);
      assert.equal(status, 1);
    }
  });

  it('is refused without CAP_SYS_CHROOT', async () => {
    await using server = await Server.start();
    const lab = `/proc/${server.process.pid}/root${server.dir}`;
    const run = [...MDEVSIM, 'run', '--lab', lab, '--', 'true'];
    const { stderr, status } = other(server.dir, ['setpriv', '--bounding-set', '-sys_chroot', ...run]);
    assert.match(stderr, /^mdevsim: the mount namespace of process \d+ may not be entered \(EPERM\): that takes CAP_SYS_ADMIN,/);
    assert.equal(status, 1);
  });
});
