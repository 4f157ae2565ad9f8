/** A VMM ends when it is told to, whatever its clients do. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { QmpClient } from '../../src/client/qmp/client.js';
import { MDEVSIM } from '../cli/mdevsim.js';
import { Child } from '../e2e/child.js';
import { within } from '../e2e/deadline.js';
import { connectMonitor } from '../e2e/monitor.js';

/** Replies of a few hundred kB: more than the kernel keeps for a socket, less than what closes the connection. */
const QUESTIONS = 100;

/** Connects, asks and never reads. */
async function deafClient(path: string): Promise<() => void> {
  const socket = createConnection({ path });
  socket.on('error', () => undefined);
  socket.pause();
  const requests = '{"execute":"qmp_capabilities"}\n' + '{"execute":"query-qmp-schema"}\n'.repeat(QUESTIONS);
  await new Promise<void>((resolve) => socket.write(requests, () => resolve()));
  return () => void socket.destroy();
}

describe('mdevsim vmm with a client that does not read', { timeout: 60_000 }, () => {
  for (const [how, end] of [
    ['SIGTERM', async (vmm: Child): Promise<void> => void vmm.process.kill('SIGTERM')],
    ['quit', async (_vmm: Child, other: QmpClient): Promise<void> => void await other.execute('quit')],
  ] as const) {
    it(`ends on ${how}, and its other clients have their replies`, async () => {
      const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-end-'));
      const path = join(scratch, 'qmp');
      const vmm = new Child('mdevsim vmm', [...MDEVSIM, 'vmm', '--ram', '1M', '--qmp', `unix:${path}`]);
      let close = (): void => undefined;
      try {
        const other = await connectMonitor(path, vmm);
        close = await deafClient(path);
        // Behind the questions: they have been asked.
        for (let turn = 0; turn < 8; turn++) await other.execute('query-status');
        await end(vmm, other);
        await other.event(({ event }) => event === 'SHUTDOWN');
        assert.equal(await within(15, `the end after ${how}`, vmm.ended, () => vmm.output), 0);
        other.close();
      } finally {
        vmm.kill();
        close();
        rmSync(scratch, { recursive: true, force: true });
      }
    });
  }
});
