/** What a process must put right before it becomes another program with exec(): Node's own changes undone. */
import { Errno } from '../abi/errno.js';
import { bind, check } from './libc.js';

const cSignal = bind('signal', 'long', ['int', 'long']);
const cFcntl = bind('fcntl', 'int', ['int', 'int', 'long']);
const cGetrlimit = bind('getrlimit', 'int', ['int', 'pointer']);
const cSetrlimit = bind('setrlimit', 'int', ['int', 'pointer']);

const SIGPIPE = 13;
const SIGXFSZ = 25;
const SIG_DFL = 0;
const F_GETFL = 3;
const F_SETFL = 4;
const RLIMIT_NOFILE = 7;

/** Node ignores these two, and execve(2) keeps what is ignored. */
export function resetSignals(): void {
  for (const signal of [SIGPIPE, SIGXFSZ]) cSignal(signal, SIG_DFL);
}

/** Open flags of a descriptor (O_NONBLOCK among them), or undefined when it is not open. */
export function openFlags(fd: number): number | undefined {
  const flags = cFcntl(fd, F_GETFL, 0);
  return flags < 0 ? undefined : flags;
}

export function setOpenFlags(fd: number, flags: number): void {
  check(cFcntl(fd, F_SETFL, flags), 'F_SETFL');
}

/** Makes descriptors below `count` possible. Throws EPERM where the hard limit is lower. */
export function needDescriptors(count: number): void {
  const limit = new BigUint64Array(2);
  const bytes = new Uint8Array(limit.buffer);
  check(cGetrlimit(RLIMIT_NOFILE, bytes), 'getrlimit');
  const [soft = 0n, hard = 0n] = limit;
  const wanted = BigInt(count);
  if (soft >= wanted) return;
  if (hard < wanted) throw new Errno('EPERM', `at most ${hard} open files are allowed here, ${count} are needed`);
  limit[0] = wanted;
  check(cSetrlimit(RLIMIT_NOFILE, bytes), 'setrlimit');
}
