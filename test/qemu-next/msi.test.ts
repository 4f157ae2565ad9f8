/** A guest's MSI on and off: QEMU 11 and `mdevsim vmm`. */
import { withQemu11 } from './qemu.js';

await withQemu11(() => import('../client/msi.test.js'));
