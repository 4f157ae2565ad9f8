/** QEMU 11 beside `mdevsim vmm`, which does as QEMU 10 does: compare/versions.ts and sequence.ts name what differs. */
import { withQemu11 } from './qemu.js';

await withQemu11(() => import('../client/compare-two-devices.test.js'));
