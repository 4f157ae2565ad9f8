/** Messages of 64 MiB to stock QEMU, which reads byte by byte: minutes. Opt-in: scripts/test --qemu-limits. */
import { describe, it } from 'node:test';
import { askQemu, SLOW_ROWS } from '../client/qmp-limits-script.js';
import { whyNoQemu } from '../e2e/requirements.js';

const skip = whyNoQemu();
/** s; twice as long as it takes on a machine that has nothing else to do. */
const PATIENCE = 850;

describe('limits of stock QEMU, at 64 MiB', { concurrency: true, ...(skip === undefined ? {} : { skip }) }, () => {
  for (const row of SLOW_ROWS) it(row.what, () => askQemu(row, PATIENCE));
});
