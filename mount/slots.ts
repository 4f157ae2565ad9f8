/**
 * Slots: files that `mdevsim run` opens in a client beforehand, so that the lab can later hand out descriptors there.
 *
 * `.slots/<fd>-<token>` is opened once and put at number <fd>; giveFd() binds an OpenFile to the first slot that the caller
 * has at its number. One slot is one inode is one open(2): whoever holds the slot's inode at a descriptor holds the file.
 * States: made (LOOKUP), open and free, bound, and gone (RELEASE).
 */
import { Errno } from '../src/abi/errno.js';
import { Dir } from '../src/kernfs/dir.js';
import { FileNode } from '../src/kernfs/file-node.js';
import { labelOf } from '../src/kernfs/file.js';
import type { FileRequest, OpenFile } from '../src/kernfs/file.js';
import type { Node } from '../src/kernfs/node.js';
import { trace } from '../src/trace/trace.js';
import type { ClientFds } from './client-fds.js';
import { Holder } from './handles.js';

export const SLOTS_DIR = '.slots';
const NAME = /^([1-9][0-9]{0,6})-[0-9A-Za-z]{1,64}$/;

/** A file that was given away. Its slot may be closed while an operation on the file still runs. */
class Binding extends Holder {
  readonly pid: number;

  constructor(file: OpenFile, pid: number) {
    super(file);
    this.pid = pid;
  }
}

/** The open slot. Operations go to the bound file; an unbound slot answers EBADFD. */
export class SlotFile implements OpenFile {
  readonly kind = 'slot';
  readonly node: SlotNode;
  binding: Binding | undefined = undefined;
  readonly #slots: Slots;

  constructor(slots: Slots, node: SlotNode) {
    this.#slots = slots;
    this.node = node;
  }

  /** The file that requests on this slot are meant for. Throws EBADFD. */
  get target(): OpenFile {
    if (this.binding === undefined) throw new Errno('EBADFD', 'a free slot');
    return this.binding.file;
  }

  release(): void {
    this.#slots.gone(this);
  }
}

export class SlotNode extends FileNode {
  /** The number at which the client keeps it. */
  readonly fd: number;
  readonly #slots: Slots;
  #opened = false;

  constructor(ino: number, name: string, fd: number, slots: Slots) {
    super(ino, name, 0o666);
    this.fd = fd;
    this.#slots = slots;
  }

  override get special(): boolean {
    return true;
  }

  /** The second time (through /proc/<pid>/fd) it is what any anonymous inode answers. */
  override open(_request: FileRequest): OpenFile {
    if (this.#opened) throw new Errno('ENXIO', 'a slot is opened once');
    this.#opened = true;
    return this.#slots.opened(this);
  }
}

class SlotsDir extends Dir {
  readonly #slots: Slots;
  /** Made and held by the kernel. */
  readonly #nodes = new Map<string, SlotNode>();

  constructor(ino: number, slots: Slots) {
    super(ino, SLOTS_DIR, 0o711);
    this.#slots = slots;
  }

  override lookup(name: string): Node | undefined {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const match = NAME.exec(name);
    if (match === null) return undefined;
    const node = new SlotNode(this.tree.allocateInos(1), name, Number(match[1]), this.#slots);
    node.parent = this;
    this.#nodes.set(name, node);
    return node;
  }

  override dropChild(child: Node): void {
    this.childForgotten(child);
  }

  override childForgotten(child: Node): void {
    if (this.#nodes.get(child.name) === child) this.#nodes.delete(child.name);
  }
}

export class Slots {
  /** Open slots by inode number, in the order of opening. */
  readonly #open = new Map<number, SlotFile>();
  /** How many open slots are kept at a number. */
  readonly #numbers = new Map<number, number>();
  readonly #clients: ClientFds;

  constructor(root: Dir, clients: ClientFds) {
    this.#clients = clients;
    if (root.lookup(SLOTS_DIR) === undefined) root.attach(new SlotsDir(root.tree.allocateInos(1), this));
  }

  get openCount(): number {
    return this.#open.size;
  }
  get boundCount(): number {
    return [...this.#open.values()].filter((slot) => slot.binding !== undefined).length;
  }

  opened(node: SlotNode): SlotFile {
    const slot = new SlotFile(this, node);
    this.#open.set(node.ino, slot);
    this.#numbers.set(node.fd, (this.#numbers.get(node.fd) ?? 0) + 1);
    return slot;
  }

  gone(slot: SlotFile): void {
    this.#open.delete(slot.node.ino);
    const count = (this.#numbers.get(slot.node.fd) ?? 1) - 1;
    if (count > 0) this.#numbers.set(slot.node.fd, count);
    else this.#numbers.delete(slot.node.fd);
    this.#unbind(slot);
    // A slot is opened once: the kernel need not keep its name and inode until memory is short.
    void slot.node.tree.remove(slot.node);
  }

  /** Opens `file` in that process and returns its number there. Throws EMFILE; then the file is not released. */
  give(pid: number, file: OpenFile): number {
    for (const fd of this.#numbers.keys()) {
      const slot = this.#slotAt(pid, fd);
      if (slot === undefined || slot.binding !== undefined) continue;
      slot.binding = new Binding(file, pid);
      trace('slot.bind', { slot: slot.node.name, pid, fd, file: labelOf(file) });
      return fd;
    }
    trace('slot.none', { pid, file: labelOf(file) });
    throw new Errno('EMFILE', 'no free slot');
  }

  /** A descriptor of the slot was closed somewhere: has the process that it was given to none left? */
  async closed(slot: SlotFile): Promise<void> {
    const { binding, node } = slot;
    if (binding === undefined) return;
    // Numbers of slots hold what was put there beforehand.
    const held = await this.#clients.hasInode(binding.pid, node.ino, (fd) => fd === node.fd || !this.#numbers.has(fd));
    if (!held && slot.binding === binding) this.#unbind(slot);
  }

  #slotAt(pid: number, fd: number): SlotFile | undefined {
    const ino = this.#clients.inodeAt(pid, fd);
    return ino === undefined ? undefined : this.#open.get(ino);
  }

  #unbind(slot: SlotFile): void {
    const { binding } = slot;
    if (binding === undefined) return;
    slot.binding = undefined;
    trace('slot.unbind', { slot: slot.node.name, pid: binding.pid, fd: slot.node.fd, file: labelOf(binding.file) });
    binding.close();
  }
}
