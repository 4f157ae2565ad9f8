/** `mdevsim vmm`: a VMM that behaves to the driver and to a management client as QEMU does. */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { startVmm } from '../client/main.js';
import type { RunningVmm, VmmOptions } from '../client/main.js';
import { removeEmptyDirectory } from '../sys/directory.js';
import { announceStdout, logStderr } from '../trace/stdio.js';
import { CliError, describe, EXIT_FAILURE, usage } from './errors.js';
import { LAB_VARIABLE } from './labs.js';
import { needOwner, whenGone } from './owner.js';
import type { VmmRequest } from './vmm-options.js';

/** With --lab: this process becomes `mdevsim vmm` without it, as `mdevsim run` would start it. */
async function runInLab(lab: string, slots: number | undefined): Promise<never> {
  const { run } = await import('./run.js');
  const own = process.argv.slice(2);
  const args = own.filter((arg, at) => !['--lab', '--slots'].includes(own[at - 1] ?? '') && !/^--(lab|slots)(=|$)/.test(arg));
  const request = { lab, driver: [], mdev: [], ...(slots === undefined ? {} : { slots }) };
  return run([process.execPath, ...process.execArgv, process.argv[1] ?? '', ...args], request);
}

function logger(verbose: boolean): VmmOptions['log'] {
  const began = performance.now();
  return (level, message) => {
    if (level === 'info' && !verbose) return;
    const time = verbose ? `${((performance.now() - began) / 1000).toFixed(3).padStart(8)} ` : '';
    logStderr(`${time}mdevsim vmm: ${level === 'warning' ? 'warning: ' : ''}${message}\n`);
  };
}

/** What --for promises. */
function removeDirectories(owner: number | undefined, sockets: readonly string[]): void {
  if (owner !== undefined) for (const path of sockets) removeEmptyDirectory(dirname(path));
}

export async function vmm(request: VmmRequest): Promise<void> {
  if (request.rfcOrder !== undefined && request.protocol === 'v2') {
    throw usage("--rfc-order is for the RFC's protocols, not for v2: see --protocol");
  }
  if (request.owner !== undefined) needOwner(request.owner);
  if (request.lab !== undefined) await runInLab(request.lab, request.slots);
  let running: RunningVmm | undefined;
  /** It runs in a lab whose server has died: nothing can be closed in order any more. */
  const labEnded = (): never => {
    const sockets = running?.sockets() ?? [];
    for (const path of sockets) rmSync(path, { force: true });
    removeDirectories(request.owner, sockets);
    logStderr(`mdevsim: the lab at ${process.env[LAB_VARIABLE] ?? '/'} has ended\n`);
    process.exit(1);
  };
  try {
    running = await startVmm({ ...request, log: logger(request.log), devicesLost: labEnded });
  } catch (error) {
    throw new CliError(describe(error));
  }
  const { ended, shutdown, sockets } = running;
  process.on('SIGINT', shutdown).on('SIGTERM', shutdown).on('SIGHUP', shutdown);
  if (request.owner !== undefined) whenGone(request.owner, shutdown);
  let unheard = false;
  try {
    announceStdout(`ready${request.qmp.map((path) => ` unix:${path}`).join('')}\n`);
  } catch (error) {
    logStderr(`mdevsim: cannot say that the machine is ready: ${describe(error)}\n`);
    unheard = true;
    shutdown();
  }
  const status = await ended;
  removeDirectories(request.owner, sockets());
  process.exit(unheard ? EXIT_FAILURE : status);
}
