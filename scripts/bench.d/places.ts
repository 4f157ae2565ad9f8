/** Where client and server run. The cost of a request differs by ten times between these. */
import { execFileSync } from 'node:child_process';

export interface Placement {
  readonly name: 'apart' | 'together' | 'free';
  /** What `taskset -c` takes; undefined: not pinned. */
  readonly client: string | undefined;
  readonly server: string | undefined;
}

/** The CPUs that this process may use. */
export function allowedCpus(): number[] {
  const list = execFileSync('taskset', ['-cp', String(process.pid)], { encoding: 'utf8' }).split(':').pop() ?? '';
  return list.trim().split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  });
}

/** Apart needs two CPUs. */
export function placements(cpus = allowedCpus()): Placement[] {
  const [one = 0, two] = cpus.map(String);
  const pinned = String(one);
  return [
    ...(two === undefined ? [] : [{ name: 'apart', client: pinned, server: two } as const]),
    { name: 'together', client: pinned, server: pinned },
    { name: 'free', client: undefined, server: undefined },
  ];
}

/** A command that runs on that CPU. */
export function pin(cpu: string | undefined, command: readonly string[]): [program: string, args: string[]] {
  const [program = '', ...args] = cpu === undefined ? command : ['taskset', '-c', cpu, ...command];
  return [program, args];
}
