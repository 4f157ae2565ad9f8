/**
 * The one place that binds C functions. Everything here is bound once; callers get plain functions and Errno.
 *
 * Two conventions: raw functions return the C result and leave errno to `lastErrno()` (hot paths); `check()` throws Errno.
 * koffi keeps errno of the last call on this thread, and of an asynchronous call inside its callback.
 */
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';
import { Errno } from '../abi/errno.js';

const libc = koffi.load(null);

const RTLD_NOW = 2;
const RTLD_NOLOAD = 4;
const RTLD_NODELETE = 0x1000;

/**
 * A worker thread that ends unloads koffi where no other thread has it, before the event loop has called back into it for each of
 * koffi's handles that was closed: that would end the process with SIGSEGV.
 */
function keepLoaded(): void {
  const path = / (\/[^\n]*koffi[^/\n]*\.node)$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[1];
  if (path !== undefined) libc.func('dlopen', 'void *', ['const char *', 'int'])(path, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}
if (!isMainThread) keepLoaded();

/** C types as koffi spells them; `pointer` takes a Buffer, a typed array, a bigint address or null. */
export type CType = 'int' | 'uint' | 'long' | 'ulong' | 'size' | 'pointer' | 'string' | 'strings';
const TYPES: Record<CType, string> = {
  int: 'int', uint: 'uint32_t', long: 'int64_t', ulong: 'uint64_t', size: 'size_t', pointer: 'void *', string: 'const char *',
  strings: 'const char **',
};
export type CValue = number | bigint | string | Uint8Array | null | readonly (string | null)[];

/** A C function whose result fits a JavaScript number. `async` runs it on a worker thread. */
export interface CFunction {
  (...args: CValue[]): number;
  async(...args: [...CValue[], (error: Error | null, result: number) => void]): void;
}

export function bind(name: string, result: CType, args: readonly CType[]): CFunction {
  return libc.func(name, TYPES[result], args.map((type) => TYPES[type]));
}

export const lastErrno = (): number => koffi.errno();
export const addressOf = (data: Uint8Array): bigint => koffi.address(data);

/** Returns `result` unless it is negative; then throws errno. `what` names the call in the message. */
export function check(result: number, what: string): number {
  if (result < 0) throw Errno.fromNumber(koffi.errno(), what);
  return result;
}

/** Calls on worker threads at a time; koffi throws away what exceeds its own queue. */
const MAX_ASYNC = 64;
let running = 0;
const waiting: (() => void)[] = [];

/** Runs a bound function on a worker thread; rejects with Errno. */
export function callAsync(what: string, fn: CFunction, ...args: CValue[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = (): void => {
      running++;
      fn.async(...args, finished);
    };
    const finished = (error: Error | null, result: number): void => {
      running--;
      if (error !== null) reject(error);
      else if (result < 0) reject(Errno.fromNumber(koffi.errno(), what));
      else resolve(result);
      waiting.shift()?.();
    };
    if (running < MAX_ASYNC) start();
    else waiting.push(start);
  });
}

/** System calls that not every libc wraps. Source: arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h. */
const NUMBERS: Record<string, { x64: number; arm64: number }> = {
  io_setup: { x64: 206, arm64: 0 },
  io_submit: { x64: 209, arm64: 2 },
  io_getevents: { x64: 208, arm64: 4 },
  pidfd_open: { x64: 434, arm64: 434 },
  pidfd_getfd: { x64: 438, arm64: 438 },
  process_vm_readv: { x64: 310, arm64: 270 },
  process_vm_writev: { x64: 311, arm64: 271 },
  ioctl: { x64: 16, arm64: 29 },
  seccomp: { x64: 317, arm64: 277 },
  gettid: { x64: 186, arm64: 178 },
  open_tree: { x64: 428, arm64: 428 },
  move_mount: { x64: 429, arm64: 429 },
};

export function syscallNumber(name: keyof typeof NUMBERS): number {
  const row = NUMBERS[name];
  const number = row === undefined ? undefined : row[process.arch as 'x64' | 'arm64'];
  if (number === undefined) throw new Errno('ENOSYS', `${String(name)} on ${process.arch}`);
  return number;
}

/** syscall(2) with up to six word arguments. */
export const syscall = bind('syscall', 'long', ['long', 'long', 'long', 'long', 'long', 'long', 'long']);
/** syscall(2) whose second and fourth arguments are pointers: the process_vm family. */
export const syscallVm = bind('syscall', 'long', ['long', 'long', 'pointer', 'ulong', 'pointer', 'ulong', 'ulong']);
