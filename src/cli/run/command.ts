/** Finding and becoming the command, as a shell would: PATH, 127 for what is not there, 126 for what cannot be run. */
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../abi/errno.js';
import { exec } from '../../sys/exec.js';
import { CliError, describe } from '../errors.js';

export const EXIT_NOT_EXECUTABLE = 126;
export const EXIT_NOT_FOUND = 127;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function executable(path: string): 'yes' | 'no' | 'absent' {
  try {
    if (!statSync(path).isFile()) return 'no';
  } catch {
    return 'absent';
  }
  try {
    accessSync(path, constants.X_OK);
    return 'yes';
  } catch {
    return 'no';
  }
}

/** Full path of a command. Throws CliError with the shell's exit status. */
export function findCommand(name: string, path = process.env['PATH'] ?? DEFAULT_PATH): string {
  const candidates = name.includes('/') ? [name] : path.split(':').map((dir) => join(dir === '' ? '.' : dir, name));
  const found = name === '' ? [] : candidates.map((candidate) => ({ candidate, state: executable(candidate) }));
  const good = found.find(({ state }) => state === 'yes');
  if (good !== undefined) return good.candidate;
  if (found.some(({ state }) => state === 'no')) throw new CliError(`${name}: permission denied`, EXIT_NOT_EXECUTABLE);
  throw new CliError(`${name}: command not found`, EXIT_NOT_FOUND);
}

/** Becomes the command; a file without a #! line is given to sh. Returns only by throwing CliError. */
export function become(file: string, argv: readonly string[], env: NodeJS.ProcessEnv): never {
  try {
    exec(file, argv, env);
  } catch (error) {
    if (isErrno(error, 'ENOEXEC')) {
      try { exec('/bin/sh', ['sh', file, ...argv.slice(1)], env); } catch { /* The first reason says more. */ }
    }
    throw new CliError(`${argv[0] ?? file}: ${describe(error)}`, EXIT_NOT_EXECUTABLE);
  }
}
