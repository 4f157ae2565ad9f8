/** Devices over QMP: QEMU 11 and `mdevsim vmm`. */
import { withQemu11 } from './qemu.js';

await withQemu11(() => import('../client/qmp-devices.test.js'));
