/** The group API on a real mount, asked by a real process: descriptors, eventfds and memory are the kernel's. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { MttyDevice } from '../../src/drivers/mtty/device.js';
import type { FileRequest } from '../../src/kernfs/file.js';
import { Tree } from '../../src/kernfs/tree.js';
import type { DmaSpace } from '../../src/vfio/device.js';
import { Vfio } from '../../src/vfio/registrar.js';
import type { VfioRegistration } from '../../src/vfio/registrar.js';
import { noMounts, tsClient, withMount } from '../mount/mounted.js';
import type { Client } from '../mount/mounted.js';
import { UUID_A } from './vfio-client.js';

/** An mtty that does DMA: 8 bytes written at DOORBELL are the IOVA to which it writes 8 bytes of 0x5a. */
const DOORBELL = 2 ** 45;
class DmaCard extends MttyDevice {
  #dma: DmaSpace | undefined;

  openDevice(dma: DmaSpace): void {
    this.#dma = dma;
  }

  override write(request: FileRequest, offset: number, data: Uint8Array): number {
    if (offset !== DOORBELL) return super.write(request, offset, data);
    this.#dma?.write(new DataView(data.buffer, data.byteOffset).getBigUint64(0, true), new Uint8Array(8).fill(0x5a));
    return data.length;
  }
}

interface Server {
  readonly registration: VfioRegistration;
  readonly dir: string;
  readonly client: (action: string) => Client;
  /** Until nobody has the device open; a close that the kernel has told us of is only ever a turn away. */
  readonly idle: () => Promise<void>;
}

async function serve(run: (server: Server) => Promise<void>): Promise<void> {
  const vfio = new Vfio();
  const registration = vfio.register({ name: UUID_A }, new DmaCard(1, {}));
  const tree = new Tree();
  tree.addFile(tree.root, 'vfio', 0o666, vfio.openContainer);
  tree.addFile(tree.root, 'group', 0o600, (request) => registration.openGroup(request));
  await withMount(tree, async ({ dir }) => {
    await run({
      registration, dir,
      client: (action) => tsClient('../vfio/client-group.ts', [dir, action]),
      idle: async () => {
        while (registration.inUse) await new Promise((resolve) => setImmediate(resolve));
      },
    });
  });
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

const EFAULT = -14;
const EBADF = -9;
const EINVAL = -22;

describe('group API, mounted', { skip: noMounts }, () => {
  it('a client holds the whole conversation, and nothing is left of it', { timeout: 60_000 }, async () => {
    await serve(async ({ registration, client, idle }) => {
      const before = descriptors();
      const { stdout, stderr } = await client('talk').done;
      assert.equal(stderr, '');
      assert.deepEqual(JSON.parse(stdout), {
        slots: true, vendor: '4348',
        interrupts: { before: EINVAL, irqs: 6, results: [0, 0, EBADF, EINVAL, EINVAL, 0], fired: 1 },
        dma: { bitmaps: [0b1010, 0b1010], fault: 'EFAULT', written: 0x5a },
        migration: { stream: true, size: 60, end: 0, again: -1 },
        // A page of zeros has argsz 0, which is refused before anything would be written.
        faults: { unmapped: EFAULT, readOnlyZeros: EINVAL, crossing: EFAULT, name: EFAULT, status: EFAULT },
        busy: -16, second: 'EBUSY',
      });
      await idle();
      assert.equal(registration.device.dma.logs.size, 0);
      assert.equal(registration.device.dma.space, undefined);
      assert.equal(descriptors(), before, 'descriptors of the server');
      assert.equal(registration.unregister(), undefined);
    });
  });

  it('a client that is killed leaves the device closed and its eventfd released', { timeout: 60_000 }, async () => {
    await serve(async ({ registration, client, idle }) => {
      const before = descriptors();
      const hanging = client('hang');
      await hanging.says('hanging');
      assert.equal(registration.inUse, true);
      hanging.process.kill('SIGKILL');
      await hanging.done;
      await idle();
      assert.equal(descriptors(), before, 'descriptors of the server');
      const { stdout } = await client('talk').done;
      assert.match(stdout, /"slots":true/);
    });
  });

  it('removal waits for the client, and ends when it goes', { timeout: 60_000 }, async () => {
    await serve(async ({ registration, client }) => {
      const hanging = client('hang');
      await hanging.says('hanging');
      const wait = registration.unregister();
      assert.ok(wait !== undefined);
      hanging.process.kill('SIGKILL');
      await Promise.all([wait, hanging.done]);
      registration.release();
    });
  });
});
