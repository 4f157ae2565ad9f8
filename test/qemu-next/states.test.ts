/** What may be said in each state of a migration, to QEMU 11 and to `mdevsim vmm`. */
import { withQemu11 } from './qemu.js';

await withQemu11(() => import('../client/qmp-states.test.js'));
