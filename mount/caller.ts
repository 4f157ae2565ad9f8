/**
 * ClientCaller: the process behind a request, through process_vm_readv/writev and pidfd_getfd. Made when a handler asks
 * for it; what it learns of the process is kept for that one request only.
 */
import { Errno, isErrno } from '../src/abi/errno.js';
import type { Caller, CallerMemory, OwnedFd } from '../src/kernfs/caller.js';
import type { OpenFile } from '../src/kernfs/file.js';
import {
  readFdInfo, readProcessMemory, takeProcessFd, threadGroupOf, threadName, writeProcessMemory,
} from '../src/sys/process.js';
import type { FdInfo } from '../src/sys/process.js';
import { warn } from '../src/trace/trace.js';

/** What the session does for all callers. */
export interface Clients {
  giveFd(pid: number, file: OpenFile): number;
  fileOf(pid: number, fd: number, info: FdInfo): Promise<OpenFile | undefined>;
  /** Throws EFAULT for memory that must not be touched from here: mapped files of this lab. */
  checkMemory(tid: number, address: bigint, length: number): void;
  /** Says once per reason what to change on the machine. */
  denied(reason: DenialReason): void;
}

export type DenialReason = 'invisible' | 'memory' | 'descriptors' | 'slots';

const ADVICE: Record<DenialReason, string> = {
  invisible: 'a client is not visible from this pid namespace, so its memory and descriptors cannot be reached (EACCES); '
    + 'run lab and client in the same pid namespace, or the lab in the outer one',
  memory: 'the memory of a client may not be read or written (EPERM); run the lab as root or with CAP_SYS_PTRACE '
    + '(in a container: --cap-add SYS_PTRACE), or set kernel.yama.ptrace_scope to 0 and use the same user for both',
  slots: 'a client has no free slot, so nothing can be opened in it (EMFILE); start it with mdevsim run, without --slots or with more '
    + 'of them, and without closing what it inherits',
  descriptors: 'a descriptor of a client may not be taken (EPERM); run the lab as root or with CAP_SYS_PTRACE '
    + '(in a container: --cap-add SYS_PTRACE), or set kernel.yama.ptrace_scope to 0 and use the same user for both',
};

/** Logs each reason once. */
export class DenialLog {
  readonly #told = new Set<DenialReason>();

  denied(reason: DenialReason): void {
    if (this.#told.has(reason)) return;
    this.#told.add(reason);
    warn(ADVICE[reason]);
  }
}

class ProcessMemory implements CallerMemory {
  readonly #clients: Clients;
  readonly #id: number;

  constructor(clients: Clients, id: number) {
    this.#clients = clients;
    this.#id = id;
  }

  read(address: bigint, length: number): Uint8Array {
    this.#clients.checkMemory(this.#id, address, length);
    return access(this.#clients, () => readProcessMemory(this.#id, address, length));
  }

  write(address: bigint, data: Uint8Array): void {
    this.#clients.checkMemory(this.#id, address, data.length);
    access(this.#clients, () => writeProcessMemory(this.#id, address, data));
  }
}

function access<T>(clients: Clients, operation: () => T, reason: DenialReason = 'memory'): T {
  try {
    return operation();
  } catch (error) {
    if (isErrno(error, 'EPERM') || isErrno(error, 'EACCES')) clients.denied(reason);
    throw error;
  }
}

export class ClientCaller implements Caller {
  readonly tid: number;
  readonly uid: number;
  readonly gid: number;
  readonly #clients: Clients;
  #pid: number | undefined = undefined;

  constructor(clients: Clients, tid: number, uid: number, gid: number) {
    this.#clients = clients;
    this.tid = tid;
    this.uid = uid;
    this.gid = gid;
  }

  get pid(): number {
    if (this.#pid !== undefined) return this.#pid;
    const pid = threadGroupOf(this.#visible());
    if (pid === undefined) throw new Errno('ESRCH', `thread ${this.tid}`);
    this.#pid = pid;
    return pid;
  }

  get comm(): string | undefined {
    return this.tid === 0 ? undefined : threadName(this.tid);
  }

  read(address: bigint, length: number): Uint8Array {
    const tid = this.#visible();
    this.#clients.checkMemory(tid, address, length);
    try {
      return readProcessMemory(tid, address, length);
    } catch (error) {
      return this.#failed(error);
    }
  }

  write(address: bigint, data: Uint8Array): void {
    const tid = this.#visible();
    this.#clients.checkMemory(tid, address, data.length);
    try {
      writeProcessMemory(tid, address, data);
    } catch (error) {
      this.#failed(error);
    }
  }

  memory(): CallerMemory {
    return new ProcessMemory(this.#clients, this.pid);
  }

  takeFd(fd: number): OwnedFd {
    this.#info(fd);
    const taken = access(this.#clients, () => takeProcessFd(this.pid, fd), 'descriptors');
    // Another thread of the client may have put another file there since somebody looked, even one of this very mount: that
    // must be closed on a worker, because its flush comes to this thread.
    if (readFdInfo(process.pid, taken.fd)?.eventfd === true) return taken;
    void taken.closeAsync();
    throw new Errno('EINVAL', `descriptor ${fd} is not an eventfd`);
  }

  isEventfd(fd: number): boolean {
    return this.#info(fd).eventfd;
  }

  giveFd(file: OpenFile): number {
    try {
      return this.#clients.giveFd(this.pid, file);
    } catch (error) {
      if (isErrno(error, 'EMFILE')) this.#clients.denied('slots');
      throw error;
    }
  }

  async fileOf(fd: number): Promise<OpenFile | undefined> {
    return this.#clients.fileOf(this.pid, fd, this.#info(fd));
  }

  /** Throws EBADF when it is not open. */
  #info(fd: number): FdInfo {
    const { pid } = this;
    const info = fd < 0 ? undefined : access(this.#clients, () => readFdInfo(pid, fd), 'descriptors');
    if (info === undefined) throw new Errno('EBADF', `descriptor ${fd} of process ${pid}`);
    return info;
  }

  #visible(): number {
    if (this.tid !== 0) return this.tid;
    this.#clients.denied('invisible');
    throw new Errno('EACCES', 'the caller is in another pid namespace');
  }

  #failed(error: unknown): never {
    if (isErrno(error, 'EPERM')) this.#clients.denied('memory');
    throw error;
  }
}
