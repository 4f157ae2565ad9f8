/** What the operator sees when something fails: one sentence, no stack trace. */
import { isErrno } from '../abi/errno.js';
import type { ErrnoName } from '../abi/errno.js';

/** Exit status of a wrong command line, as most programs have it. */
export const EXIT_USAGE = 2;
export const EXIT_FAILURE = 1;

/** A failure that is the operator's to solve. `message` is one sentence without a full stop at the end. */
export class CliError extends Error {
  constructor(message: string, readonly exitCode = EXIT_FAILURE) {
    super(message);
  }
}

/** A wrong command line. */
export const usage = (message: string): CliError => new CliError(message, EXIT_USAGE);

const TEXTS: Partial<Record<ErrnoName, string>> = {
  EACCES: 'permission denied', EPERM: 'operation not permitted', ENOENT: 'no such file or directory', ENOTDIR: 'not a directory',
  EBUSY: 'device or resource busy', ENODEV: 'no such device', ENOTCONN: 'the lab that was mounted there has died',
  EEXIST: 'it exists already', EINVAL: 'invalid argument', ENOSPC: 'nothing of it is left', EMFILE: 'too many open files',
  ENOTEMPTY: 'the directory is not empty', ENXIO: 'no such device', ENOSYS: 'this kernel does not have it',
  EROFS: 'the file system is read-only',
};

/** Errors of Node, of system calls and ours as half a sentence: `permission denied`. */
export function describe(error: unknown): string {
  if (isErrno(error)) {
    const text = TEXTS[error.code] ?? error.code;
    return error.detail === undefined ? text : `${error.detail}: ${text}`;
  }
  if (!(error instanceof Error)) return String(error);
  const { code, path } = error as NodeJS.ErrnoException;
  if (code !== undefined && path !== undefined) return `${path}: ${TEXTS[code as ErrnoName] ?? code}`;
  return error.message.split('\n')[0] ?? 'unknown error';
}

/** Runs a step of a command; a failure becomes `<what>: <why>`. */
export function attempt<T>(what: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${what}: ${describe(error)}`);
  }
}
