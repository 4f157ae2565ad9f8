/** The same script of QMP to QEMU 11 and to `mdevsim vmm`, which speaks as QEMU 10: qmp-versions.ts names what differs. */
import { withQemu11 } from './qemu.js';

await withQemu11(() => import('../client/qmp-conformance.test.js'));
