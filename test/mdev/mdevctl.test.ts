/** This machine's mdevctl: 1.2 on Debian 12. */
import { describe, it } from 'node:test';
import { defineBootSuite } from './mdevctl-boot.js';
import { defineRecordedSuite, versionOf } from './mdevctl-suite.js';

const version = versionOf('mdevctl');

if (process.getuid?.() !== 0) describe('mdevctl', () => void it('runs', { skip: 'needs root' }));
else if (version === undefined) describe('mdevctl', () => void it('runs', { skip: 'needs mdevctl' }));
else {
  defineRecordedSuite('/usr/bin/mdevctl', version);
  defineBootSuite('/usr/bin/mdevctl', version, '/lib/udev/rules.d/60-mdevctl.rules');
}
