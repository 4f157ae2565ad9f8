import assert from 'node:assert/strict';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { asRoot, MDEVSIM, shell } from './mdevsim.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

/**
 * Builds a root directory that is no mount point (debootstrap makes such ones) in a mount namespace where everything is
 * shared, runs the program there, and tells which mounts that left outside of it. Arguments: an empty directory, the program.
 */
const SCRIPT = `
  set -e
  base=$1; shift
  mount -t tmpfs tmpfs "$base"
  mount --make-rshared /
  mkdir "$base/root"
  for top in /*; do
    if [ -L "$top" ]; then cp -P "$top" "$base/root/"
    elif [ -d "$top" ]; then mkdir "$base/root$top"; mount --rbind "$top" "$base/root$top"
    fi
  done
  cut -d' ' -f5 /proc/self/mountinfo | sort > "$base/before"
  chroot "$base/root" "$@"
  cut -d' ' -f5 /proc/self/mountinfo | sort > "$base/after"
  diff "$base/before" "$base/after" && echo nothing left outside
`;

/** With a namespace where mounts can be shared without anybody noticing; not possible when the tests are in such a chroot. */
const UNSHARE = ['unshare', '--mount', '--propagation', 'private', 'sh'];
const missing = asRoot.skip ?? (shell('command -v chroot', UNSHARE).status === 0 ? false : 'needs chroot and a root that is a mount point');

describe('mdevsim run in a chroot', { skip: missing }, () => {
  it('works where / is no mount point, and leaves the mounts outside alone', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-chroot-'));
    const look = `cat /sys/bus/mdev/devices/${UUID}/migration_block; ls /dev/vfio; test -c /dev/null && pwd`;
    const command = [...MDEVSIM, 'run', '--slots', '2', '--mdev', `mtty-1,uuid=${UUID}`, '--', 'sh', '-c', look];
    try {
      const { stdout, stderr, status } = shell(SCRIPT, UNSHARE, [dir, ...command]);
      assert.equal(stderr, '');
      assert.equal(stdout, '0\n0\ndevices\nvfio\n/\nnothing left outside\n');
      assert.equal(status, 0);
    } finally {
      rmdirSync(dir);
    }
  });
});
