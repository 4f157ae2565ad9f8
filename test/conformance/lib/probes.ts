/** Builds the probes of test/golden/probes and runs them. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import type { ObservedRecord } from './records.js';

export type Probe = 'probe-tree' | 'probe-mdev' | 'probe-kernfs' | 'probe-vfio' | 'probe-mig';

const SOURCES = fileURLToPath(new URL('../../golden/probes/', import.meta.url));
const OUTPUT = fileURLToPath(new URL('../../../build/probes/', import.meta.url));

/** Whether a file must be made again from the sources. */
function isStale(output: string): boolean {
  if (!existsSync(output)) return true;
  const built = statSync(output).mtimeMs;
  return readdirSync(SOURCES).some((name) => /\.[ch]$/.test(name) && statSync(SOURCES + name).mtimeMs > built);
}

/**
 * Path of the built program. Needs gcc, static libc and the uAPI headers of 6.12 or later; `uapi` names a directory that has
 * linux/vfio.h and linux/iommufd.h where the system's are older. Throws with the compiler's words.
 */
export function buildProbe(probe: Probe, uapi?: string): string {
  const output = OUTPUT + probe;
  if (!isStale(output)) return output;
  mkdirSync(OUTPUT, { recursive: true });
  const unfinished = `${output}.${process.pid}`;
  const include = uapi === undefined ? [] : [`-I${uapi}`];
  try {
    execFileSync('gcc', ['-O1', '-g', '-w', '-std=gnu11', ...include, '-static', '-o', unfinished, `${SOURCES}${probe}.c`],
      { stdio: 'pipe', encoding: 'utf8' });
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new Error(`${probe} does not build (are the headers of linux-libc-dev 6.12 or later installed?): ${stderr ?? message}`,
      { cause: error });
  }
  renameSync(unfinished, output);
  return output;
}

/** Why the probes can't be built here, as a sentence; undefined where they can. */
export function whyNotBuildable(): string | undefined {
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'gcc is not installed';
  }
  try {
    buildProbe('probe-mig');
    return undefined;
  } catch (error) {
    return (error as Error).message.split('\n')[0];
  }
}

export interface ProbeRun {
  readonly records: readonly ObservedRecord[];
  /** True when the probe was killed at the limit: records are missing. */
  readonly timedOut: boolean;
  readonly stderr: string;
}

/** Runs a command line that ends in a probe; kills its whole process group after `limitSeconds`. */
export function runProbe(argv: readonly string[], limitSeconds: number): Promise<ProbeRun> {
  const [command = '', ...args] = argv;
  const child = spawn(command, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const records: ObservedRecord[] = [];
  let stderr = '';
  let timedOut = false;
  const watchdog = setTimeout(() => {
    timedOut = true;
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, limitSeconds * 1000);
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{')) records.push(JSON.parse(line) as ObservedRecord);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      clearTimeout(watchdog);
      resolve({ records, timedOut, stderr });
    });
  });
}
