/** `mdevsim mount`: serves a lab in the foreground. */
import { join } from 'node:path';
import { MountError } from '../../mount/mount.js';
import { Lab } from '../lab/lab.js';
import { isDriverPath } from '../lab/user-driver.js';
import { lineSink, onTrace, parseCategories } from '../trace/trace.js';
import { announceStdout, logStderr } from '../trace/stdio.js';
import { CliError, describe, usage } from './errors.js';
import { isLabFileError, labFile } from './lab-file.js';
import type { LabRequest } from './options.js';
import { needOwner, whenGone } from './owner.js';

export interface ServeRequest extends LabRequest {
  readonly json: boolean;
  /** Process id: the lab ends with that process, and the directory goes too. */
  readonly owner?: number;
}

function startTrace(categories: string | undefined): void {
  if (categories === undefined || categories === '') return;
  try {
    onTrace(lineSink(logStderr), parseCategories(categories));
  } catch (error) {
    throw usage(describe(error));
  }
}

/** A user's driver may print, and whoever reads that may go: that must not end the lab. */
function ignoreReaders(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

async function makeLab(dir: string, request: ServeRequest): Promise<Lab> {
  try {
    const file = await labFile(request.config);
    if ((file?.drivers ?? request.driver).some(({ name }) => isDriverPath(name))) ignoreReaders();
    return await Lab.mount(dir, {
      ...(file ?? { drivers: request.driver }), devices: [...(file?.devices ?? []), ...request.mdev],
      ...(request.blocker === undefined ? {} : { blocker: request.blocker }),
      ...(request.kernel === undefined ? {} : { kernel: request.kernel }),
      ...(request.xattrs === undefined ? {} : { xattrs: request.xattrs }),
      ...(request.uevents === undefined ? {} : { uevents: request.uevents }),
      removeDirectory: request.owner !== undefined,
    });
  } catch (error) {
    if (error instanceof CliError) throw error;
    const plain = error instanceof MountError || isLabFileError(error);
    throw new CliError(plain ? error.message : `the lab could not be made: ${describe(error)}`);
  }
}

function readyLine(lab: Lab, json: boolean): string {
  if (!json) return `ready ${lab.dir}`;
  const devices = lab.devices.map(({ uuid, type, parent, group, index, path }) => ({
    uuid, type, parent, group, path: join(lab.dir, path),
    groupNode: join(lab.dir, `dev/vfio/${group}`), cdevNode: join(lab.dir, `dev/vfio/devices/vfio${index}`),
  }));
  return JSON.stringify({ ready: true, dir: lab.dir, sys: join(lab.dir, 'sys'), dev: join(lab.dir, 'dev'), devices });
}

export async function serve(dir: string, request: ServeRequest): Promise<void> {
  startTrace(request.trace ?? process.env['MDEVSIM_TRACE']);
  if (request.owner !== undefined) needOwner(request.owner);
  const lab = await makeLab(dir, request);
  const stop = (): void => void lab.unmount();
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop);
  if (request.owner !== undefined) whenGone(request.owner, stop);
  try {
    announceStdout(`${readyLine(lab, request.json)}\n`);
  } catch (error) {
    await lab.unmount();
    throw new CliError(`cannot say that the lab is ready: ${describe(error)}`);
  }
  const reason = await lab.ended;
  if (request.owner === undefined && reason !== 'unmounted') throw new CliError(`the lab at ${lab.dir} ended: ${reason}`);
  // Clients that are still there must not keep the server.
  process.exit();
}

