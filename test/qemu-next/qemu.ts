/** QEMU 11 from trixie-backports. */
import { describe, it } from 'node:test';
import { debianQemu } from '../debian-tree.js';

/** Runs another test file, or whatever `load` defines, with that QEMU in place of this machine's. */
export async function withQemu11(load: () => Promise<unknown>): Promise<void> {
  const qemu = debianQemu('qemu-next', 'trixie-backports');
  if (typeof qemu !== 'string') {
    describe('QEMU 11', () => void it('runs', { skip: qemu.missing }));
    return;
  }
  // The harness reads it when it is loaded.
  process.env['MDEVSIM_TEST_QEMU'] = qemu;
  await load();
}
