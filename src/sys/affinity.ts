/** CPUs that a thread may run on. Source: kernel/sched/syscalls.c. */
import { bind, check } from './libc.js';

const cGet = bind('sched_getaffinity', 'int', ['int', 'size', 'pointer']);
const cSet = bind('sched_setaffinity', 'int', ['int', 'size', 'pointer']);
/** Bytes: 8192 CPUs. */
const MASK = 1024;

/** CPU numbers; `tid` 0 is the calling thread. */
export function getAffinity(tid = 0): number[] {
  const mask = new Uint8Array(MASK);
  check(cGet(tid, MASK, mask), 'sched_getaffinity');
  const cpus: number[] = [];
  mask.forEach((byte, index) => {
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) cpus.push(index * 8 + bit);
  });
  return cpus;
}

export function setAffinity(cpus: readonly number[], tid = 0): void {
  const mask = new Uint8Array(MASK);
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  check(cSet(tid, MASK, mask), 'sched_setaffinity');
}
