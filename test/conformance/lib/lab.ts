/** A lab of its own for one area: `mdevsim mount` in a child process, gone when disposed. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { MDEVSIM } from '../../cli/mdevsim.js';
import type { LabUnderTest } from './areas.js';

/** Seconds until the lab must have printed `ready`, and until it must be gone after SIGTERM. */
const START_LIMIT = 20;
const STOP_LIMIT = 10;
export type RunningLab = LabUnderTest & AsyncDisposable;

/** Starts a lab with one mtty parent. `kernel` is the kernel it shall behave as. */
export async function startLab(kernel: string): Promise<RunningLab> {
  const directory = mkdtempSync(`${tmpdir()}/mdevsim-conformance-`);
  const profile = kernel === '6.12' ? [] : ['--kernel', kernel];
  const [command = '', ...args] = [...MDEVSIM, 'mount', directory, '--driver', 'mtty', '--xattrs', ...profile];
  const server = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  server.stderr.setEncoding('utf8').on('data', (text: string) => { said = (said + text).slice(-4000); });
  try {
    await ready(server, () => said);
  } catch (error) {
    await stop(server, directory);
    throw error;
  }
  return {
    sys: `${directory}/sys`,
    vfio: `${directory}/dev/vfio`,
    iommu: `${directory}/dev/iommu`,
    launcher: [...MDEVSIM, 'run', '--lab', directory, '--'],
    [Symbol.asyncDispose]: () => stop(server, directory),
  };
}

function ready(server: ChildProcess, said: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    const tooLate = (): void => reject(new Error(`the lab was not ready after ${START_LIMIT} s: ${said()}`));
    const watchdog = setTimeout(tooLate, START_LIMIT * 1000);
    const finish = (error?: Error): void => {
      clearTimeout(watchdog);
      if (error === undefined) resolve();
      else reject(error);
    };
    server.once('error', finish);
    server.once('exit', (code) => finish(new Error(`the lab ended with code ${code}: ${said()}`)));
    if (server.stdout === null) return;
    createInterface({ input: server.stdout }).on('line', (line) => { if (line.startsWith('ready')) finish(); });
  });
}

async function stop(server: ChildProcess, directory: string): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) {
    const gone = new Promise<void>((resolve) => server.once('exit', () => resolve()));
    server.kill('SIGTERM');
    const watchdog = setTimeout(() => server.kill('SIGKILL'), STOP_LIMIT * 1000);
    await gone;
    clearTimeout(watchdog);
  }
  // Nothing is mounted any more, except where the server had to be killed.
  spawnSync('timeout', ['-s', 'KILL', '10', 'umount', '-l', directory], { stdio: 'ignore' });
  rmdirSync(directory);
}
