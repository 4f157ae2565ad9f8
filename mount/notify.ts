/**
 * Notices to the kernel: names that are gone, attributes that changed, files that became ready.
 *
 * INVAL_ENTRY makes the kernel take the lock of the parent directory, which a client may hold while it waits for an answer of
 * ours; so those are written from a worker thread, in order, and `settled()` tells when all of them are in. The others only
 * take locks that are never held across a request, and are written at once.
 */
import { trace, tracing } from '../src/trace/trace.js';
import type { Channel } from './channel.js';
import {
  FUSE_NOTIFY_INVAL_ENTRY, FUSE_NOTIFY_INVAL_INODE, FUSE_NOTIFY_POLL, OUT_BODY, fuse_notify_inval_entry_out,
  fuse_notify_inval_inode_out, fuse_notify_poll_wakeup_out, fuse_out_header,
} from './fuse-abi.js';

/** Longest time that a client's answer waits for notices, ms. */
const PATIENCE = 200;

function notice(code: number, body: Uint8Array, tail: Uint8Array = new Uint8Array(0)): Uint8Array {
  const length = OUT_BODY + body.length + tail.length;
  const message = new Uint8Array(length);
  message.set(fuse_out_header.encode({ len: length, error: code, unique: 0n }));
  message.set(body, OUT_BODY);
  message.set(tail, OUT_BODY + body.length);
  return message;
}

export class Notices {
  readonly #channel: Channel;
  #queue: Uint8Array[] = [];
  #running: Promise<void> | undefined = undefined;
  #closed = false;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Names that the kernel may still hold although they are gone. */
  get pending(): boolean {
    return this.#running !== undefined;
  }

  /** The name in that directory is gone. */
  invalidateEntry(parent: number, name: string): void {
    if (this.#closed) return;
    if (tracing('fuse')) trace('fuse.notify', { code: 'INVAL_ENTRY', nodeid: BigInt(parent), name });
    const text = new TextEncoder().encode(`${name}\0`);
    const body = fuse_notify_inval_entry_out.encode({ parent: BigInt(parent), namelen: text.length - 1 });
    this.#queue.push(notice(FUSE_NOTIFY_INVAL_ENTRY, body, text));
    this.#running ??= this.#drain();
  }

  /** The attributes of that inode changed. */
  invalidateAttributes(nodeid: number): void {
    if (this.#closed) return;
    if (tracing('fuse')) trace('fuse.notify', { code: 'INVAL_INODE', nodeid: BigInt(nodeid), name: undefined });
    const body = fuse_notify_inval_inode_out.encode({ ino: BigInt(nodeid), off: -1n });
    this.#send(notice(FUSE_NOTIFY_INVAL_INODE, body));
  }

  /** Who polls the file that gave `kh` shall look again. */
  wake(kh: bigint): void {
    if (this.#closed) return;
    this.#send(notice(FUSE_NOTIFY_POLL, fuse_notify_poll_wakeup_out.encode({ kh })));
  }

  /** Resolves when every notice so far is written; undefined when that is so now. */
  settled(): Promise<void> | undefined {
    return this.#running;
  }

  /**
   * As settled(), for a client's sake and therefore with an end: after PATIENCE it is answered all the same. Otherwise clients
   * in our own process could hold all worker threads, waiting for a notice that needs one. (Until the notice is written, ESTALE
   * makes the kernel look up again: Session.goneByPath().)
   */
  settledSoon(): Promise<void> | undefined {
    const running = this.#running;
    if (running === undefined) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, PATIENCE);
      void running.then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
  }

  #send(message: Uint8Array): void {
    this.#channel.send(message, message.length);
  }

  async #drain(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) await this.#channel.sendNotice(next);
    this.#running = undefined;
  }
}
