/** execve(2): this process becomes another program. Returns only by throwing. */
import { Errno } from '../abi/errno.js';
import { bind, lastErrno } from './libc.js';

const cExit = bind('_exit', 'int', ['int']);
const cExecve = bind('execve', 'int', ['string', 'strings', 'strings']);

/** `path` is not searched for in PATH. Descriptors without FD_CLOEXEC stay open. */
export function exec(path: string, argv: readonly string[], env: Readonly<Record<string, string | undefined>>): never {
  const variables = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  cExecve(path, [...argv, null], [...variables, null]);
  throw Errno.fromNumber(lastErrno(), `execve ${path}`);
}

/** _exit(2): without waiting for worker threads, one of which may wait for a file system that does not answer. */
export function exitAtOnce(status: number): void {
  cExit(status);
}
