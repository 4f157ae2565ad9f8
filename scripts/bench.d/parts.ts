/**
 * What moving device state is made of, each part by itself, in C (scripts/bench.d/state.c) but for the checksum: what the lab, the
 * kernel and this machine's CPUs leave to a VMM, whatever it is written in.
 */
import { StreamChecksum } from '../../src/client/migration/stream.js';
import { runProgram } from './compare.js';
import { SOURCE, TARGET } from './machines.js';
import { allowedCpus } from './places.js';
import { mdevsimCommand, Server, serverKinds } from './servers.js';

const MIB = 1 << 20;

/** In the order of the table. */
export const PARTS = {
  read: 'read from one device: the bare stream',
  write: 'written to one device',
  socket: 'through a UNIX socket',
  checksum: 'checksum',
  both: 'read from one and written to another at the same time: the lab alone',
  relay: 'read, through a UNIX socket, written: two C programs, no checksum',
  shared: 'read, through shared memory, written: two C programs, no checksum',
  checked: 'read, through shared memory, written: two C programs, cheap checksums, no lab',
} as const;
export type Part = keyof typeof PARTS;
/** Done by the C program, with client and server where the scheduler puts them. */
const MEASURED = ['read', 'write', 'both', 'socket', 'relay', 'shared', 'checked'] as const;

/** MB/s of every part, once; `mib` of the device state. */
export async function measureParts(root: string, mib: number): Promise<Record<Part, number>> {
  const rates = { checksum: checksumRate(mib) } as Record<Part, number>;
  for (const part of MEASURED) rates[part] = await measure(root, part, mib);
  return rates;
}

/** MB/s, with a server that is as new as the lab of a migration. */
async function measure(root: string, part: typeof MEASURED[number], mib: number): Promise<number> {
  const server = await Server.start((dir) => (part === 'checked' ? threadedServer(root, dir) : labOfTwo(root, dir)));
  try {
    return (await runProgram(root, 'state', undefined, [part, String(mib), server.dir, SOURCE])).mbps ?? NaN;
  } finally {
    await server.stop();
  }
}

const labOfTwo = (root: string, dir: string): string[] => mdevsimCommand(root, dir, '--mdev', `mtty-1,uuid=${SOURCE}`, '--mdev', `mtty-1,uuid=${TARGET}`);

/** The C server, with a thread for each CPU. */
const threadedServer = (root: string, dir: string): string[] => [...serverKinds(root).c.command(dir), String(allowedCpus().length)];

/** As the sender and the receiver of a stream each do it once. */
function checksumRate(mib: number): number {
  const checksum = new StreamChecksum();
  const payload = [new Uint8Array(MIB).fill(1)];
  const began = performance.now();
  for (let n = 0; n < mib; n++) checksum.encodeHeader('deviceData', payload);
  return mib * MIB / 1e3 / (performance.now() - began);
}
