/**
 * Supervisor: opens files in clients that let it answer, by seccomp, the ioctls by which descriptors are had, as `mdevsim run` has
 * its command do. While such an ioctl waits, the descriptor can be put at the caller's lowest free number, close-on-exec, as a
 * driver would. Ioctls on other files than ours, and those that give nothing, are left to the kernel, which brings them here by FUSE.
 */
import { join } from 'node:path';
import { FD_IOCTLS } from '../src/abi/fd-ioctls.js';
import type { DescriptorMode } from '../src/abi/fd-ioctls.js';
import { Errno, isErrno } from '../src/abi/errno.js';
import type { Awaitable, FileRequest, OpenFile } from '../src/kernfs/file.js';
import { Fd } from '../src/sys/fd.js';
import { openFdAsync } from '../src/sys/io.js';
import { credentialsOf, readFdInfoAsync, takeProcessFd } from '../src/sys/process.js';
import { isListener, Listener } from '../src/sys/seccomp.js';
import type { Notification } from '../src/sys/seccomp.js';
import { watchReadable } from '../src/sys/watch.js';
import { logError, trace, warn } from '../src/trace/trace.js';
import { ClientCaller } from './caller.js';
import type { Handle } from './handles.js';
import { runIoctl } from './ops-file.js';
import type { Session } from './session.js';
import { SLOTS_DIR } from './slots.js';
import type { SlotNode } from './slots.js';

/** open(2) flags. */
const ACCESS: Readonly<Record<DescriptorMode['access'], number>> = { read: 0, write: 1, both: 2 };
/** Of an argument that is not looked at. */
const NOTHING = new Uint8Array(0);

type Give = (file: OpenFile) => number;

/**
 * Unlike a caller by FUSE, this one may be killed before it is answered, and its number then be another thread's, or a program's
 * that has just been executed: its memory is touched only while the ioctl waits.
 */
class SupervisedCaller extends ClientCaller {
  readonly #waits: () => boolean;
  readonly #give: Give;

  constructor(session: Session, tid: number, waits: () => boolean, give: Give) {
    const { uid, gid } = credentialsOf(tid) ?? { uid: 0, gid: 0 };
    super(session, tid, uid, gid);
    this.#waits = waits;
    this.#give = give;
  }

  override read(address: bigint, length: number): Uint8Array {
    this.#needWaiting();
    return super.read(address, length);
  }

  override write(address: bigint, data: Uint8Array): void {
    this.#needWaiting();
    super.write(address, data);
  }

  override giveFd(file: OpenFile): number {
    return this.#give(file);
  }

  #needWaiting(): void {
    if (!this.#waits()) throw new Errno('ESRCH', `thread ${this.tid} was killed`);
  }
}

/** How often to look whether the caller of an ioctl that takes its time has been killed, ms. Nobody tells. */
const LOOK = 100;

export class Supervisor {
  readonly #session: Session;
  readonly #dir: string;
  /** Of the ioctls that run. */
  readonly #running = new Set<AbortController>();
  /** What each listener's end takes. */
  readonly #listeners = new Map<Listener, () => void>();
  /** Of whom there is one already: nobody can have two. */
  readonly #pids = new Set<number>();

  /** `dir` is where this process sees the mount. */
  constructor(session: Session, dir: string) {
    this.#session = session;
    this.#dir = join(dir, SLOTS_DIR);
    session.slots.supervise = (pid, fd) => this.#adopt(pid, fd);
  }

  /** Of how many clients, with their children, it answers ioctls. */
  get count(): number {
    return this.#listeners.size;
  }

  /** The session is over. */
  close(): void {
    for (const call of this.#running) call.abort();
    for (const end of this.#listeners.values()) end();
  }

  #adopt(pid: number, fd: number): void {
    if (this.#pids.has(pid)) throw new Errno('EBUSY', `process ${pid} has given its listener`);
    const copy = takeProcessFd(pid, fd);
    if (!isListener(copy.fd)) {
      void copy.closeAsync();
      throw new Errno('EINVAL', `descriptor ${fd} is no seccomp listener`);
    }
    const listener = new Listener(copy);
    const watch = watchReadable(copy.fd, () => this.#readable(listener));
    this.#pids.add(pid);
    this.#listeners.set(listener, () => {
      this.#listeners.delete(listener);
      this.#pids.delete(pid);
      watch.close();
      listener.close();
    });
    trace('slot.listener', { pid });
  }

  #readable(listener: Listener): void {
    for (let call = listener.receive(); call !== undefined; call = listener.receive()) void this.#serve(listener, call);
    if (listener.hungUp) this.#listeners.get(listener)?.();
  }

  async #serve(listener: Listener, call: Notification): Promise<void> {
    let respond: () => void;
    try {
      const result = await this.#perform(listener, call);
      respond = () => (result === undefined ? listener.proceed(call.id) : listener.succeed(call.id, result));
    } catch (error) {
      if (!isErrno(error)) logError('supervised ioctl', error);
      respond = () => listener.fail(call.id, isErrno(error) ? error : new Errno('EIO'));
    }
    try {
      respond();
    } catch (error) {
      // The caller was killed, or the lab has been unmounted.
      if (!isErrno(error, 'ENOENT') && !isErrno(error, 'EBADF')) logError('answer to a supervised ioctl', error);
    }
  }

  /** The ioctl's result; undefined leaves it to the kernel. Throws what the ioctl does. */
  async #perform(listener: Listener, { id, tid, fd, command, argument }: Notification): Promise<number | undefined> {
    // Who is not visible from here gets the same answer by FUSE, if the file is one of ours.
    if (tid === 0 || this.#session.ended || !listener.waits(id)) return undefined;
    const caller = new ClientCaller(this.#session, tid, 0, 0);
    const mode = descriptorMode(caller, command, argument);
    const handle = mode === undefined ? undefined : await this.#handle(caller, fd);
    if (mode === undefined || handle === undefined) return undefined;
    const release = this.#session.hold(handle);
    try {
      const slot = this.#session.slots.make(mode.stream);
      using open = await this.#open(slot, ACCESS[mode.access]);
      const opened = this.#session.slots.fileOf(slot);
      if (open === undefined || opened === undefined) {
        this.#session.slots.remove(slot);
        return undefined;
      }
      const give = (file: OpenFile): number => {
        const given = listener.addFd(id, open.fd);
        this.#session.slots.bind(opened, caller.pid, given, file);
        return given;
      };
      return await this.#whileWaiting(listener, id, (signal) => {
        const supervised = new SupervisedCaller(this.#session, tid, () => listener.waits(id), give);
        const request: FileRequest = { caller: supervised, signal, flags: handle.flags };
        return runIoctl(request, handle, command, argument);
      });
    } finally {
      release();
    }
  }

  /** The signal is aborted when the caller is killed, and when the session is over. */
  async #whileWaiting<T>(listener: Listener, id: bigint, run: (signal: AbortSignal) => Awaitable<T>): Promise<T> {
    const call = new AbortController();
    const look = setInterval(() => {
      if (!listener.waits(id)) call.abort();
    }, LOOK);
    this.#running.add(call);
    try {
      return await run(call.signal);
    } finally {
      this.#running.delete(call);
      clearInterval(look);
    }
  }

  /** Undefined too where it may not be looked at. */
  async #handle(caller: ClientCaller, fd: number): Promise<Handle | undefined> {
    try {
      const { pid } = caller;
      const info = await readFdInfoAsync(pid, fd);
      return info === undefined ? undefined : await this.#session.handleOf(pid, fd, info);
    } catch (error) {
      if (isErrno(error)) return undefined;
      throw error;
    }
  }

  /** Closing it needs no worker thread: such a slot asks for no FLUSH, and nobody waits for RELEASE. */
  async #open(slot: SlotNode, flags: number): Promise<Fd | undefined> {
    try {
      return new Fd(await openFdAsync(join(this.#dir, slot.name), flags));
    } catch (error) {
      warn(`${this.#dir} is not the lab any more, so nothing can be opened there for a client: ${String(error)}`);
      return undefined;
    }
  }
}

/** Of the descriptor that the ioctl may give; undefined when it gives none, or its argument can't be read. */
function descriptorMode(caller: ClientCaller, command: number, argument: bigint): DescriptorMode | undefined {
  const row = FD_IOCTLS.get(command);
  if (row === undefined) return undefined;
  try {
    return row.mode(row.size === 0 ? NOTHING : caller.read(argument, row.size));
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}
