/**
 * What moving device state is made of, each part by itself, in C (scripts/bench.d/state.c) but for the checksum: what the lab, the
 * kernel and this machine's CPUs leave to a VMM, whatever it is written in.
 */
import { StreamChecksum } from '../../src/client/migration/stream.js';
import { runProgram } from './compare.js';
import { SOURCE, TARGET } from './machines.js';
import { allowedCpus } from './places.js';
import { mdevsimCommand, Server } from './servers.js';

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
  busy: 'read, checksum, checksum, written: if all CPUs did nothing else',
} as const;
export type Part = keyof typeof PARTS;
/** Done by the C program, with client and server where the scheduler puts them. */
const MEASURED = ['read', 'write', 'both', 'socket', 'relay', 'shared'] as const;

/** MB/s of every part, once; `mib` of the device state. */
export async function measureParts(root: string, mib: number): Promise<Record<Part, number>> {
  const rates = { checksum: checksumRate(mib) } as Record<Part, number>;
  for (const part of MEASURED) rates[part] = await measure(root, part, mib);
  // On one CPU nobody waits for anybody: the time is what it costs.
  const cpus = allowedCpus();
  const alone = (part: 'read' | 'write'): Promise<number> => measure(root, part, mib, String(cpus[0]));
  rates.busy = cpus.length / (1 / await alone('read') + 1 / await alone('write') + 2 / rates.checksum);
  return rates;
}

/** MB/s, with a lab of two devices that is as new as that of a migration; both on that CPU. */
async function measure(root: string, part: Part, mib: number, cpu?: string): Promise<number> {
  const server = await Server.start((dir) => mdevsimCommand(root, dir, '--mdev', `mtty-1,uuid=${SOURCE}`, '--mdev', `mtty-1,uuid=${TARGET}`), cpu);
  try {
    return (await runProgram(root, 'state', cpu, [part, String(mib), server.dir, SOURCE])).mbps ?? NaN;
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
