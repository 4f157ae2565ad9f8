/** QEMU 7.2, Debian 12's own, and the v1 migration region. Opt-in: scripts/test --qemu-v1. */
import { describe, it } from 'node:test';
import { debianQemu } from '../debian-tree.js';

const qemu = debianQemu('qemu-v1', 'bookworm');

if (typeof qemu !== 'string') describe('QEMU 7.2', () => void it('runs', { skip: qemu.missing }));
else {
  // The harness reads it when it is loaded.
  process.env['MDEVSIM_TEST_QEMU'] = qemu;
  const { defineVgpuSuite } = await import('../e2e/vgpu-suite.js');
  defineVgpuSuite('QEMU 7.2 and the v1 region', {
    via: 'group', protocol: 'v1', device: 'x-enable-migration=on',
    sourceSteps: [
      'RUNNING>PRE_COPY', 'PRE_COPY>PRE_COPY_P2P', 'PRE_COPY_P2P>STOP_COPY', 'STOP_COPY>STOP',
    ],
    targetSteps: ['RUNNING>RUNNING_P2P', 'RUNNING_P2P>STOP', 'STOP>RESUMING', 'RESUMING>STOP', 'STOP>RUNNING_P2P', 'RUNNING_P2P>RUNNING'],
  });
}
