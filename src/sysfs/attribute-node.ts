/**
 * AttributeNode: the node of one attribute. A lazy directory makes it at lookup and lets it go when nobody holds it and nothing
 * was changed on it, so an attribute that nobody looks at takes no memory.
 */
import { Errno } from '../abi/errno.js';
import type { FileRequest } from '../kernfs/file.js';
import { FileNode } from '../kernfs/file-node.js';
import type { Attribute } from './attribute.js';
import { AttributeFile } from './file.js';

/** What differs between sysfs and debugfs files. */
export interface Flavour {
  /** st_size, bytes. */
  readonly size: number;
  /** kernfs's own mode check at open, which root does not pass either (KERNFS_ROOT_EXTRA_OPEN_PERM_CHECK). */
  readonly checkOpenMode: boolean;
  /** Answer of read and write when the attribute has no show or store. */
  readonly missing: 'EIO' | 'EINVAL';
  /** Answer when the node was removed while open. */
  readonly removed: 'ENODEV' | 'EIO';
}

export const SYSFS: Flavour = { size: 4096, checkOpenMode: true, missing: 'EIO', removed: 'ENODEV' };
export const DEBUGFS: Flavour = { size: 0, checkOpenMode: false, missing: 'EINVAL', removed: 'EIO' };

const O_ACCMODE = 3;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;

export class AttributeNode extends FileNode {
  readonly attribute: Attribute<unknown>;
  readonly owner: unknown;
  readonly flavour: Flavour;
  /** Undefined while nothing has it open. */
  #files: Set<AttributeFile> | undefined = undefined;
  /** kernfs_open_node.event: number of change notices + 1; an open file that saw another one polls POLLPRI. */
  #event = 1;

  constructor(ino: number, attribute: Attribute<unknown>, owner: unknown, flavour: Flavour) {
    super(ino, attribute.name, attribute.mode);
    this.attribute = attribute;
    this.owner = owner;
    this.flavour = flavour;
  }

  override get size(): number {
    return this.flavour.size;
  }
  /** Open files keep the node alive. */
  get isOpen(): boolean {
    return this.#files !== undefined;
  }
  get event(): number {
    return this.#event;
  }

  /** kernfs_fop_open(): EACCES where no mode bit at all allows the access, for root too. Access mode 3 is neither. */
  override open(request: FileRequest): AttributeFile {
    const access = request.flags & O_ACCMODE;
    if (this.flavour.checkOpenMode) {
      const reads = access === O_RDONLY || access === O_RDWR;
      const writes = access === O_WRONLY || access === O_RDWR;
      if (writes && (this.mode & 0o222) === 0) throw new Errno('EACCES');
      if (reads && (this.mode & 0o444) === 0) throw new Errno('EACCES');
    }
    const file = new AttributeFile(this);
    this.#files ??= new Set();
    this.#files.add(file);
    return file;
  }

  /** The last descriptor of `file` is closed. */
  closed(file: AttributeFile): void {
    this.#files?.delete(file);
    if (this.#files?.size === 0) this.#files = undefined;
  }

  /** kernfs_notify(): everyone who polls sees POLLERR and POLLPRI until the next read from the start. */
  notify(): void {
    this.#event++;
    this.#wakeAll();
  }

  override markRemoved(): void {
    super.markRemoved();
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const file of this.#files ?? []) file.wake();
  }
}
