/** mdevctl 1.4 from Debian 13, in a tree of it. Opt-in: scripts/test --mdevctl-next. */
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { debianTree } from '../debian-tree.js';
import { defineDocument } from '../docs/suite.js';
import { defineBootSuite } from '../mdev/mdevctl-boot.js';
import { defineRecordedSuite, versionOf } from '../mdev/mdevctl-suite.js';

const tree = debianTree('mdevctl-next', 'trixie', ['mdevctl']);

if ('missing' in tree) describe('mdevctl 1.4', () => void it('runs', { skip: tree.missing }));
else {
  const program = tree.chrootLauncher('mdevctl', '/usr/bin/mdevctl', ['/etc/mdevctl.d']);
  const version = versionOf(program) ?? 'none';
  defineRecordedSuite(program, version);
  defineBootSuite(program, version, join(tree.directory, 'usr/lib/udev/rules.d/60-mdevctl.rules'));
  defineDocument('docs/mdevctl.md', { programs: { mdevctl: program } });
}
