/** Builds the probes of test/golden/probes and runs them. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
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

/**
 * Runs a command line that ends in a probe; kills its whole process group after `limitSeconds`. The answers go through a file:
 * a probe that finds a pipe full and non-blocking would lose some.
 */
export async function runProbe(argv: readonly string[], limitSeconds: number): Promise<ProbeRun> {
  const [command = '', ...args] = argv;
  const directory = mkdtempSync(`${tmpdir()}/mdevsim-probe-`);
  const [answers, complaints] = [`${directory}/stdout`, `${directory}/stderr`];
  const outputs = [openSync(answers, 'w'), openSync(complaints, 'w')] as const;
  try {
    const timedOut = await runLimited(spawn(command, args, { detached: true, stdio: ['ignore', ...outputs] }), limitSeconds);
    const lines = readFileSync(answers, 'utf8').split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    const records = lines.map((line) => JSON.parse(line) as ObservedRecord);
    return { records, timedOut, stderr: readFileSync(complaints, 'utf8') };
  } finally {
    for (const fd of outputs) closeSync(fd);
    rmSync(directory, { recursive: true });
  }
}

/** Waits for the end of a process group; true when it had to be killed. */
function runLimited(child: ChildProcess, limitSeconds: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let timedOut = false;
    const watchdog = setTimeout(() => {
      timedOut = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, limitSeconds * 1000);
    child.once('error', (error) => {
      clearTimeout(watchdog);
      reject(error);
    });
    child.once('exit', () => {
      clearTimeout(watchdog);
      resolve(timedOut);
    });
  });
}
