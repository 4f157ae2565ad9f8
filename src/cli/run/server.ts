/**
 * The server of a lab that `run` makes for its command. It is no child of the command (that would see a process it did not
 * start) and in a session of its own (a ^C is for the command), and it ends when the command's process ends.
 */
import { spawn } from 'node:child_process';
import { lineOf } from '../../lab/line-of.js';
import { CliError, EXIT_FAILURE } from '../errors.js';
import type { LabRequest } from '../options.js';
import { labArguments } from '../options.js';

/** Seconds until a server that does not get ready is given up. */
const PATIENCE = 20;

/** Starts a server on `dir` and waits until it is ready. It watches this process, which is going to be the command. */
export async function startServer(dir: string, request: LabRequest): Promise<void> {
  const program = [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
  const command = [...program, 'mount', dir, '--for', String(process.pid), ...labArguments(request)];
  // The shell leaves at once, so that the server belongs to init.
  const shell = spawn('/bin/sh', ['-c', '"$@" &', 'sh', ...command], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  shell.stdout.setEncoding('utf8');
  const ready = await new Promise<string | undefined>((resolve, reject) => {
    const timer = setTimeout(() => reject(new CliError(`the lab was not ready after ${PATIENCE} s`)), PATIENCE * 1000);
    shell.once('error', reject);
    // A user's driver may print other lines.
    void lineOf(shell.stdout, /^ready /).then((line) => {
      clearTimeout(timer);
      shell.stdout.destroy();
      resolve(line);
    });
  });
  // The server has said why, on the same stderr.
  if (ready === undefined) throw new SilentError();
}

/** A failure that has been reported already. */
export class SilentError extends CliError {
  constructor() {
    super('', EXIT_FAILURE);
  }
}
