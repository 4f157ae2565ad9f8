/** Request: one message from the kernel, and what its handler may know of the caller. Answered exactly once (reply.ts). */
import type { Caller } from '../src/kernfs/caller.js';
import type { FileRequest } from '../src/kernfs/file.js';
import { ClientCaller } from './caller.js';
import type { Clients } from './caller.js';
import type { Handle } from './handles.js';
import type { Message } from './message.js';
import { HEADER } from './message.js';

export class Request implements FileRequest {
  readonly opcode: number;
  readonly unique: number;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly tid: number;
  /** Open flags, where the operation has them. */
  flags = 0;
  /** The open file it is about, when that is what it is about. */
  handle: Handle | undefined = undefined;
  /** A reply was sent, or none is due. */
  finished = false;
  readonly #clients: Clients;
  #caller: Caller | undefined = undefined;
  #abort: AbortController | undefined = undefined;
  #aborted = false;

  constructor(message: Message, clients: Clients) {
    this.opcode = message.u32(HEADER.opcode);
    this.unique = message.u64(HEADER.unique);
    this.nodeid = message.u64(HEADER.nodeid);
    this.uid = message.u32(HEADER.uid);
    this.gid = message.u32(HEADER.gid);
    this.tid = message.u32(HEADER.pid);
    this.#clients = clients;
  }

  get caller(): Caller {
    return (this.#caller ??= new ClientCaller(this.#clients, this.tid, this.uid, this.gid));
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#aborted) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  /** The caller was interrupted, or the lab stops. */
  abort(): void {
    this.#aborted = true;
    this.#abort?.abort();
  }
}
