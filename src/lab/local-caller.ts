/** LocalCaller: the lab's own process as the caller, for attributes that the library reads and writes without the mount. */
import { Errno } from '../abi/errno.js';
import type { Caller, CallerMemory, OwnedFd } from '../kernfs/caller.js';
import type { FileRequest, OpenFile } from '../kernfs/file.js';

class LocalCaller implements Caller {
  readonly tid = process.pid;
  readonly pid = process.pid;
  readonly uid = 0;
  readonly gid = 0;
  readonly comm = 'mdevsim';

  memory(): CallerMemory {
    return this;
  }
  read(): Uint8Array {
    throw new Errno('EFAULT');
  }
  write(): void {
    throw new Errno('EFAULT');
  }
  takeFd(): OwnedFd {
    throw new Errno('EBADF');
  }
  isEventfd(): boolean {
    throw new Errno('EBADF');
  }
  giveFd(): number {
    throw new Errno('EMFILE');
  }
  fileOf(): Promise<OpenFile | undefined> {
    return Promise.reject(new Errno('EBADF'));
  }
}

const CALLER = new LocalCaller();

/** `flags`: open(2) flags. */
export function localRequest(flags: number, signal: AbortSignal = new AbortController().signal): FileRequest {
  return { caller: CALLER, signal, flags };
}
