/**
 * Open files and directories, by the handle (fh) that the kernel sends back with each request on them.
 */
import type { DirReader } from '../src/kernfs/readdir.js';
import type { OpenFile } from '../src/kernfs/file.js';
import type { Node } from '../src/kernfs/node.js';
import { logError } from '../src/trace/trace.js';

/** Who keeps a file open. The file is released once: after close(), when every operation that was begun on it has ended. */
export class Holder {
  readonly file: OpenFile;
  #running = 0;
  #closed = false;
  #released = false;

  constructor(file: OpenFile) {
    this.file = file;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** An asynchronous operation begins. */
  begin(): void {
    this.#running++;
  }

  end(): void {
    this.#running--;
    this.#releaseUnused();
  }

  /** Once. */
  close(): void {
    this.#closed = true;
    this.#releaseUnused();
  }

  #releaseUnused(): void {
    if (!this.#closed || this.#running > 0 || this.#released) return;
    this.#released = true;
    releaseFile(this.file);
  }
}

export class Handle extends Holder {
  readonly fh: number;
  readonly node: Node;
  /** Flags of open(2). */
  readonly flags: number;
  /** The file that has a wake-up registered which it has not called yet (a slot's file may change). */
  pollArmed: OpenFile | undefined = undefined;

  constructor(fh: number, node: Node, file: OpenFile, flags: number) {
    super(file);
    this.fh = fh;
    this.node = node;
    this.flags = flags;
  }
}

/** Calls release(); what it throws is a defect of the file and only logged. */
export function releaseFile(file: OpenFile): void {
  const failed = (error: unknown): void => logError(`release of ${file.kind}`, error);
  try {
    const result = file.release();
    if (result instanceof Promise) result.catch(failed);
  } catch (error) {
    failed(error);
  }
}

export class Handles {
  readonly #files = new Map<number, Handle>();
  readonly #dirs = new Map<number, DirReader>();
  #next = 1;

  get count(): number {
    return this.#files.size + this.#dirs.size;
  }

  openFile(node: Node, file: OpenFile, flags: number): Handle {
    const handle = new Handle(this.#next++, node, file, flags);
    this.#files.set(handle.fh, handle);
    return handle;
  }

  openDir(reader: DirReader): number {
    const fh = this.#next++;
    this.#dirs.set(fh, reader);
    return fh;
  }

  file(fh: number): Handle | undefined {
    return this.#files.get(fh);
  }

  dir(fh: number): DirReader | undefined {
    return this.#dirs.get(fh);
  }

  /** All open files of one inode. */
  filesOf(ino: number): Handle[] {
    return [...this.#files.values()].filter((handle) => handle.node.ino === ino);
  }

  closeDir(fh: number): void {
    this.#dirs.delete(fh);
  }

  /** RELEASE. */
  closeFile(fh: number): Handle | undefined {
    const handle = this.#files.get(fh);
    if (handle === undefined) return undefined;
    this.#files.delete(fh);
    handle.close();
    return handle;
  }

  /** The session is over: every file is released. */
  clear(): void {
    for (const fh of [...this.#files.keys()]) this.closeFile(fh);
    this.#dirs.clear();
  }
}
