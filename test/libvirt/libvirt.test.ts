/** libvirt 11.3 and QEMU 10 from Debian 13, in a tree of it: docs/libvirt.md, as written. Opt-in: scripts/test --libvirt. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { debianTree } from '../debian-tree.js';
import { defineDocument } from '../docs/suite.js';

const tree = debianTree('libvirt', 'trixie', [
  'libvirt-daemon', 'libvirt-daemon-driver-nodedev', 'libvirt-daemon-driver-qemu', 'libvirt-clients', 'qemu-system-x86', 'mdevctl', 'udev',
]);

if ('missing' in tree) describe('libvirt', () => void it('runs', { skip: tree.missing }));
else {
  mkdirSync(join(tree.directory, 'run/udev'), { recursive: true });
  // The shell below `mdevsim run` is one of that Debian.
  defineDocument('docs/libvirt.md', { programs: { bash: tree.chrootLauncher('bash', 'bash', ['/run/udev']) } });
}
