/** mdevctl 1.4 from Debian 13, in a tree of it. Opt-in: scripts/test --mdevctl-next. */
import { describe, it } from 'node:test';
import { debianTree } from '../debian-tree.js';
import { defineRecordedSuite, versionOf } from '../mdev/mdevctl-suite.js';

const tree = debianTree('mdevctl-next', 'trixie', ['mdevctl']);

if ('missing' in tree) describe('mdevctl 1.4', () => void it('runs', { skip: tree.missing }));
else {
  const program = tree.chrootLauncher('mdevctl', '/usr/bin/mdevctl', ['/etc/mdevctl.d']);
  defineRecordedSuite(program, versionOf(program) ?? 'none');
}
