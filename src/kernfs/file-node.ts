/** FileNode: anything that can be opened. Subclasses are sysfs attributes, device nodes and slots. */
import type { Awaitable, FileRequest, OpenFile } from './file.js';
import { Node } from './node.js';

export abstract class FileNode extends Node {
  readonly #mode: number;

  /** `mode`: permission bits; subclasses may override defaultMode instead. */
  protected constructor(ino: number, name: string, mode = 0o666) {
    super(ino, name);
    this.#mode = mode;
  }

  override get kind(): 'file' {
    return 'file';
  }
  override get defaultMode(): number {
    return this.#mode;
  }
  /** True for what stands for a character device or an anonymous inode: it has no size to set and nothing to sync (EINVAL). */
  get special(): boolean {
    return false;
  }

  /**
   * One open(2); `request.flags` are its flags, O_TRUNC included. The mode bits have been checked for non-root callers
   * (default_permissions); checks that hold for root too belong here. Throws the errno of open(2). Never called on a removed
   * node: mount answers ESTALE for those.
   */
  abstract open(request: FileRequest): Awaitable<OpenFile>;
}

export type OpenFunction = (request: FileRequest, node: SimpleFile) => Awaitable<OpenFile>;

/** A file whose open() is a function: device nodes (`/dev/vfio/vfio`) and other singletons. */
export class SimpleFile extends FileNode {
  readonly #open: OpenFunction;

  constructor(ino: number, name: string, mode: number, open: OpenFunction) {
    super(ino, name, mode);
    this.#open = open;
  }

  override open(request: FileRequest): Awaitable<OpenFile> {
    return this.#open(request, this);
  }
}
