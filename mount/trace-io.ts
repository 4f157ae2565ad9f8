/** Trace events of ioctls, reads and writes on VFIO files, in the order of the answers. Only called when asked for. */
import { isErrno } from '../src/abi/errno.js';
import { describeIoctl } from '../src/abi/ioctl-names.js';
import { labelOf } from '../src/kernfs/file.js';
import type { Awaitable, FileRequest, OpenFile } from '../src/kernfs/file.js';
import { trace } from '../src/trace/trace.js';

const KINDS = new Set(['vfio-device', 'migration-saving', 'migration-resuming']);

function pidOf(request: FileRequest): number {
  try {
    return request.caller.pid;
  } catch {
    return 0;
  }
}

/** `done` gets the value, or the errno's name. */
function watch<T>(run: () => Awaitable<T>, done: (result: string) => void, show: (value: T) => string): Awaitable<T> {
  const failed = (error: unknown): never => {
    done(isErrno(error) ? error.code : String(error));
    throw error;
  };
  const passed = (value: T): T => {
    done(show(value));
    return value;
  };
  let result: Awaitable<T>;
  try {
    result = run();
  } catch (error) {
    return failed(error);
  }
  return result instanceof Promise ? result.then(passed, failed) : passed(result);
}

export function traceIoctl(
  request: FileRequest, file: OpenFile, command: number, argument: bigint, run: () => Awaitable<number>,
): Awaitable<number> {
  return watch(run, (result) => {
    const text = describeIoctl(file.ioctlKind ?? file.kind, command, (offset, length) => {
      try {
        return request.caller.read(argument + BigInt(offset), length);
      } catch {
        return undefined;
      }
    });
    if (text !== undefined) trace('vfio.ioctl', { file: labelOf(file), command: text, pid: pidOf(request), result });
  }, String);
}

export function traceTransfer<T>(
  request: FileRequest, file: OpenFile, operation: 'read' | 'write', offset: number, size: number,
  run: () => Awaitable<T>, length: (value: T) => number,
): Awaitable<T> {
  if (!KINDS.has(file.kind)) return run();
  const done = (result: string): void =>
    trace('vfio.io', { file: labelOf(file), operation, pid: pidOf(request), offset, size, result });
  return watch(run, done, (value) => String(length(value)));
}
