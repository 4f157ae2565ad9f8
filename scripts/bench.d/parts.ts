/**
 * What moving device state is made of, each part by itself, in C (scripts/bench.d/state.c) but for the checksum: what the lab, the
 * kernel and this machine's CPUs leave to a VMM, whatever it is written in.
 */
import { StreamChecksum } from '../../src/client/migration/stream.js';
import { runProgram } from './compare.js';
import { SOURCE, TARGET } from './machines.js';
import { mdevsimCommand, Server } from './servers.js';

const MIB = 1 << 20;

/** In the order of the table. */
export const PARTS = {
  read: 'read from one device: the bare stream',
  write: 'written to one device',
  both: 'read from one and written to another at the same time: the lab alone',
  socket: 'through a UNIX socket',
  checksum: 'checksum',
  relay: 'read, through a UNIX socket, written: two C programs, no checksum',
} as const;
export type Part = keyof typeof PARTS;
const NAMES = Object.keys(PARTS) as Part[];

/** MB/s of every part, once; `mib` of the device state. */
export async function measureParts(root: string, mib: number): Promise<Record<Part, number>> {
  const server = await Server.start((dir) => mdevsimCommand(root, dir, '--mdev', `mtty-1,uuid=${SOURCE}`, '--mdev', `mtty-1,uuid=${TARGET}`));
  try {
    const rates = { checksum: checksumRate(mib) } as Record<Part, number>;
    for (const part of NAMES) {
      if (part === 'checksum') continue;
      rates[part] = (await runProgram(root, 'state', undefined, [part, String(mib), server.dir, SOURCE])).mbps ?? NaN;
    }
    return rates;
  } finally {
    await server.stop();
  }
}

/** As the sender and the receiver of a stream each do it once. */
function checksumRate(mib: number): number {
  const checksum = new StreamChecksum();
  const payload = [new Uint8Array(MIB).fill(1)];
  const began = performance.now();
  for (let n = 0; n < mib; n++) checksum.encodeHeader('deviceData', payload);
  return mib * MIB / 1e3 / (performance.now() - began);
}
