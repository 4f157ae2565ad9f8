/**
 * Session: one mounted tree. Reads requests from the channel, hands them to the table (opcodes.ts) and sees to it that each
 * gets one answer. Handlers that answer at once cost no promise; the others are kept in a table so that INTERRUPT finds them.
 *
 * Everything runs on one thread. Nothing here may make a system call that can lead back to this mount.
 */
import { ERRNO, Errno } from '../src/abi/errno.js';
import type { ErrnoName } from '../src/abi/errno.js';
import type { OpenFile } from '../src/kernfs/file.js';
import type { Node, NodeAttributes } from '../src/kernfs/node.js';
import type { Tree } from '../src/kernfs/tree.js';
import type { FdInfo } from '../src/sys/process.js';
import { logError, trace, tracing } from '../src/trace/trace.js';
import { DenialLog } from './caller.js';
import type { Clients, DenialReason } from './caller.js';
import type { Channel } from './channel.js';
import { ClientFds } from './client-fds.js';
import { ClientView, LONG } from './encode.js';
import type { Owner } from './encode.js';
import { Handles } from './handles.js';
import type { Handle } from './handles.js';
import { Inodes } from './inodes.js';
import { Mappings } from './mappings.js';
import { HEADER, Message } from './message.js';
import { Notices } from './notify.js';
import { OPERATION_BY_OPCODE } from './opcodes.js';
import { Xattrs } from './ops-xattr.js';
import { Replies } from './reply.js';
import { Request } from './request.js';
import { SlotFile, SlotNode, Slots } from './slots.js';
import { Supervisor } from './supervisor.js';

export interface SessionOptions {
  /**
   * Whether nodes have extended attributes. Without them the kernel stops asking after the first time; with them it asks for
   * `security.capability` at every open with O_TRUNC, which makes each `echo >` one request longer.
   */
  readonly xattrs: boolean;
  /** Who owns what belongs to root. Default: root. */
  readonly owner: Owner;
  /** Where this thread's process sees the mount. Without it, nobody can be supervised. */
  readonly dir?: string;
}

export class Session implements Clients {
  readonly options: SessionOptions;
  readonly message = new Message();
  readonly view: ClientView;
  readonly replies: Replies;
  readonly notices: Notices;
  readonly inodes: Inodes;
  readonly handles = new Handles();
  readonly xattrs = new Xattrs();
  readonly clientFds: ClientFds;
  readonly slots: Slots;
  readonly supervisor: Supervisor | undefined;
  /** Resolves with the reason when the session is over; then all files are released. */
  readonly whenEnded: Promise<string>;
  /** Resolves when INIT was answered. */
  readonly whenReady: Promise<void>;
  ended = false;
  readonly #tree: Tree;
  readonly #channel: Channel;
  readonly #pending = new Map<number, Request>();
  readonly #denials = new DenialLog();
  readonly #mappings = new Mappings((ino) => this.view.inside(ino) !== undefined);
  #resolveEnded: (reason: string) => void = () => undefined;
  #resolveReady: () => void = () => undefined;
  /** A SETATTR is being carried out: its answer carries the attributes, no notice is needed. */
  #settingAttributes = false;

  constructor(tree: Tree, channel: Channel, options: Partial<SessionOptions> = {}) {
    this.options = { xattrs: options.xattrs ?? false, owner: options.owner ?? { uid: 0, gid: 0 } };
    this.view = new ClientView(this.options.owner);
    this.#tree = tree;
    this.#channel = channel;
    this.replies = new Replies(channel);
    this.notices = new Notices(channel);
    this.inodes = new Inodes(tree.root);
    this.clientFds = new ClientFds(this.view);
    this.slots = new Slots(tree.root, this.clientFds);
    this.supervisor = options.dir === undefined ? undefined : new Supervisor(this, options.dir);
    this.whenEnded = new Promise((resolve) => { this.#resolveEnded = resolve; });
    this.whenReady = new Promise((resolve) => { this.#resolveReady = resolve; });
    tree.observer = {
      attached: (node) => this.#attached(node),
      detached: (node, parent) => this.#detached(node, parent),
      changed: (node) => this.#changed(node),
    };
  }

  /** Requests that wait for an asynchronous handler. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** One request of `length` bytes is in the message buffer. */
  handle(length: number): void {
    const { message } = this;
    message.length = length;
    const request = new Request(message, this);
    const operation = OPERATION_BY_OPCODE[request.opcode];
    request.finished = operation?.noReply === true;
    if (tracing('fuse')) {
      const opcode = operation?.name ?? String(request.opcode);
      trace('fuse.request', { opcode, unique: BigInt(request.unique), nodeid: BigInt(request.nodeid), tid: request.tid });
    }
    if (operation === undefined || length !== message.u32(HEADER.len)) {
      if (!request.finished) this.replies.error(request, operation === undefined ? ERRNO.ENOSYS : ERRNO.EIO);
      return;
    }
    let running: void | Promise<void>;
    try {
      running = operation.handler(this, request);
    } catch (error) {
      this.#failed(request, error);
      return;
    }
    if (running instanceof Promise) this.#wait(request, running);
    else if (!request.finished) this.#unanswered(request);
  }

  /** The node of a request. Throws ESTALE for one that was never given out. */
  node(nodeid: number): Node {
    const node = this.inodes.get(nodeid);
    if (node === undefined) throw new Errno('ESTALE', `nodeid ${nodeid}`);
    return node;
  }

  /**
   * The error for a path operation on a removed node. While the kernel may still hold names that are gone, ESTALE makes it look
   * the whole path up again, so that a node made anew under that name is found; after that it is kernfs's own answer.
   */
  goneByPath(code: ErrnoName): Errno {
    return new Errno(this.notices.pending ? 'ESTALE' : code, 'removed');
  }

  /** How long the kernel may keep the name, seconds. A slot's token may be used again. */
  entrySeconds(node: Node): number {
    return node instanceof SlotNode ? 0 : LONG;
  }

  setAttributes(node: Node, changes: Partial<NodeAttributes>): void {
    this.#settingAttributes = true;
    try {
      node.setAttributes(changes);
    } finally {
      this.#settingAttributes = false;
    }
  }

  /** Answers a WRITE: a store that removed nodes returns when the kernel knows it, so that its writer sees it too. */
  written(request: Request, size: number): void | Promise<void> {
    const settled = this.notices.settledSoon();
    if (settled !== undefined) return settled.then(() => this.replies.written(request, size));
    this.replies.written(request, size);
  }

  interrupt(unique: number): void {
    this.#pending.get(unique)?.abort();
  }

  /** All running requests are interrupted, as if their callers had got a signal. */
  interruptAll(): void {
    for (const request of this.#pending.values()) request.abort();
  }

  initialized(): void {
    this.#resolveReady();
  }

  /** Over: running requests are aborted, all files released, the channel closed. */
  end(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    trace('fuse.end', { reason });
    this.#tree.observer = {};
    this.notices.close();
    this.supervisor?.close();
    this.interruptAll();
    this.handles.clear();
    this.inodes.clear();
    this.#channel.close();
    this.#resolveEnded(reason);
  }

  giveFd(pid: number, file: OpenFile): number {
    return this.slots.give(pid, file);
  }

  async fileOf(pid: number, fd: number, info: FdInfo): Promise<OpenFile | undefined> {
    const handle = await this.handleOf(pid, fd, info);
    return handle?.file instanceof SlotFile ? handle.file.binding?.file : handle?.file;
  }

  /** The open file of this mount that a client has at `fd`. */
  async handleOf(pid: number, fd: number, info: FdInfo): Promise<Handle | undefined> {
    const ino = this.clientFds.inodeOf(info);
    if (ino === undefined) return undefined;
    const handles = this.handles.filesOf(ino);
    const handle = handles.length > 1 ? await this.clientFds.identify(pid, fd) : handles[0];
    // It may have been closed while we looked.
    return handle?.closed === true ? undefined : handle;
  }

  /** Keeps what an operation on the handle needs until the returned function is called. */
  hold(handle: Handle): () => void {
    // What is bound to a slot may go before the slot does, and the slot before what was bound to it.
    const holders = [handle, handle.file instanceof SlotFile ? handle.file.binding : undefined].filter((holder) => holder !== undefined);
    for (const holder of holders) holder.begin();
    return () => {
      for (const holder of holders) holder.end();
    };
  }

  checkMemory(tid: number, address: bigint, length: number): void {
    this.#mappings.check(tid, address, length);
  }

  denied(reason: DenialReason): void {
    this.#denials.denied(reason);
  }

  #wait(request: Request, running: Promise<void>): void {
    const release = request.handle === undefined ? undefined : this.hold(request.handle);
    this.#pending.set(request.unique, request);
    const finish = (): void => {
      this.#pending.delete(request.unique);
      release?.();
    };
    running.then(() => {
      if (!request.finished) this.#unanswered(request);
      finish();
    }, (error: unknown) => {
      this.#failed(request, error);
      finish();
    });
  }

  #failed(request: Request, error: unknown): void {
    // A failed store may have removed nodes as well.
    const settled = this.notices.settledSoon();
    if (settled !== undefined && OPERATION_BY_OPCODE[request.opcode]?.name === 'WRITE') {
      void settled.then(() => this.replies.failed(request, error));
      return;
    }
    if (request.finished) logError(`request ${request.opcode}, after its answer`, error);
    else this.replies.failed(request, error);
  }

  #unanswered(request: Request): void {
    logError(`request ${request.opcode}`, new Error('was not answered'));
    this.replies.error(request, ERRNO.EIO);
  }

  /** A new subdirectory changes its parent's link count. */
  #attached(node: Node): void {
    if (node.kind === 'dir') this.#changed(node.parent);
  }

  #detached(node: Node, parent: Node): void {
    this.xattrs.prune();
    if (this.#holds(node) && this.#holds(parent)) this.notices.invalidateEntry(parent.ino, node.name);
    if (node.kind === 'dir') this.#changed(parent);
  }

  #changed(node: Node | undefined): void {
    if (node !== undefined && !this.#settingAttributes && this.#holds(node)) this.notices.invalidateAttributes(node.ino);
  }

  /** By number: a lazy node may have been made anew since the kernel learned of it. */
  #holds(node: Node): boolean {
    return this.inodes.get(node.ino) !== undefined;
  }
}
