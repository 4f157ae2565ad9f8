/**
 * Slots: files of this mount that stand for what a client is given, because only an open file of this mount leads here. One slot
 * is one inode is one open(2): whoever holds the slot's inode at a descriptor holds the file that is bound to it.
 *
 * There are two kinds. The supervisor (supervisor.ts) opens one when a client is about to be given a file, and puts it there. A
 * client that has no supervisor opens its own beforehand: `.slots/<fd>-<token>`, put at number <fd>; giveFd() binds the file to the
 * first one that the caller has at its number. States: made, open and free, bound, and gone (RELEASE).
 */
import { randomUUID } from 'node:crypto';
import { Errno } from '../src/abi/errno.js';
import { Dir } from '../src/kernfs/dir.js';
import { FileNode } from '../src/kernfs/file-node.js';
import { labelOf } from '../src/kernfs/file.js';
import type { FileRequest, OpenFile } from '../src/kernfs/file.js';
import type { Node } from '../src/kernfs/node.js';
import { trace } from '../src/trace/trace.js';
import type { ClientFds } from './client-fds.js';
import { FOPEN_NOFLUSH, FOPEN_NONSEEKABLE, FOPEN_STREAM } from './fuse-abi.js';
import { Holder } from './handles.js';

export const SLOTS_DIR = '.slots';
const NAME = /^([1-9][0-9]{0,6})-[0-9A-Za-z]{1,64}$/;
/** `listener-<fd>`: the one who opens it lets us supervise them, by the listener that they have at that number. */
const LISTENER = /^listener-([0-9]{1,7})$/;

/** A file that was given away. Its slot may be closed while an operation on the file still runs. */
class Binding extends Holder {
  readonly pid: number;
  /** The number that the process was given. */
  readonly fd: number;

  constructor(file: OpenFile, pid: number, fd: number) {
    super(file);
    this.pid = pid;
    this.fd = fd;
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
  /** The number at which the client keeps it; undefined for the supervisor's. */
  readonly fd: number | undefined;
  /** FOPEN_*: only clients' own ask, by FLUSH, what a close means. The last close of the others is the file's. */
  readonly openFlags: number;
  readonly #slots: Slots;
  #opened = false;

  constructor(ino: number, name: string, slots: Slots, kind: { readonly fd: number } | { readonly stream: boolean }) {
    super(ino, name, 'fd' in kind ? 0o666 : 0o600);
    this.fd = 'fd' in kind ? kind.fd : undefined;
    this.openFlags = 'fd' in kind ? 0 : FOPEN_NOFLUSH | (kind.stream ? FOPEN_STREAM | FOPEN_NONSEEKABLE : 0);
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

/** Takes a listener of the process that opens it. Throws EINVAL for another kind of descriptor, EBADF, EPERM. */
class ListenerNode extends FileNode {
  readonly #fd: number;
  readonly #supervise: Supervise;

  constructor(ino: number, name: string, fd: number, supervise: Supervise) {
    super(ino, name, 0o666);
    this.#fd = fd;
    this.#supervise = supervise;
  }

  override get special(): boolean {
    return true;
  }

  override open({ caller }: FileRequest): OpenFile {
    this.#supervise(caller.pid, this.#fd);
    return { kind: 'listener', release: () => undefined };
  }
}

class SlotsDir extends Dir {
  readonly #slots: Slots;
  /** Made and held by the kernel. */
  readonly #nodes = new Map<string, FileNode>();

  constructor(ino: number, slots: Slots) {
    super(ino, SLOTS_DIR, 0o711);
    this.#slots = slots;
  }

  override lookup(name: string): Node | undefined {
    return this.#nodes.get(name) ?? this.#make(name);
  }

  add<N extends FileNode>(node: N): N {
    node.parent = this;
    this.#nodes.set(node.name, node);
    return node;
  }

  #make(name: string): Node | undefined {
    const [, slot] = NAME.exec(name) ?? [];
    if (slot !== undefined) return this.add(new SlotNode(this.tree.allocateInos(1), name, this.#slots, { fd: Number(slot) }));
    const [, listener] = LISTENER.exec(name) ?? [];
    const { supervise } = this.#slots;
    if (listener === undefined || supervise === undefined) return undefined;
    return this.add(new ListenerNode(this.tree.allocateInos(1), name, Number(listener), supervise));
  }

  override dropChild(child: Node): void {
    this.childForgotten(child);
  }

  override childForgotten(child: Node): void {
    if (this.#nodes.get(child.name) === child) this.#nodes.delete(child.name);
  }
}

export type Supervise = (pid: number, fd: number) => void;

export class Slots {
  /** Takes a process's listener; undefined where nobody can be supervised. */
  supervise: Supervise | undefined = undefined;
  readonly #dir: SlotsDir;
  /** Open slots by inode number, in the order of opening. */
  readonly #open = new Map<number, SlotFile>();
  /** How many open slots are kept at a number. */
  readonly #numbers = new Map<number, number>();
  readonly #clients: ClientFds;

  constructor(root: Dir, clients: ClientFds) {
    this.#clients = clients;
    this.#dir = new SlotsDir(root.tree.allocateInos(1), this);
    if (root.lookup(SLOTS_DIR) === undefined) root.attach(this.#dir);
  }

  get openCount(): number {
    return this.#open.size;
  }
  get boundCount(): number {
    return [...this.#open.values()].filter((slot) => slot.binding !== undefined).length;
  }

  /** A slot for the supervisor to open. `stream`: without positions. */
  make(stream: boolean): SlotNode {
    return this.#dir.add(new SlotNode(this.#dir.tree.allocateInos(1), `given-${randomUUID()}`, this, { stream }));
  }

  opened(node: SlotNode): SlotFile {
    const slot = new SlotFile(this, node);
    this.#open.set(node.ino, slot);
    this.#count(node, 1);
    return slot;
  }

  gone(slot: SlotFile): void {
    this.#open.delete(slot.node.ino);
    this.#count(slot.node, -1);
    this.#unbind(slot);
    this.remove(slot.node);
  }

  /** A slot is opened once: the kernel need not keep its name and inode until memory is short. */
  remove(node: SlotNode): void {
    void node.tree.remove(node);
  }

  #count({ fd }: SlotNode, change: 1 | -1): void {
    if (fd === undefined) return;
    const count = (this.#numbers.get(fd) ?? 0) + change;
    if (count > 0) this.#numbers.set(fd, count);
    else this.#numbers.delete(fd);
  }

  /** Opens `file` in that process at one of its own slots and returns the number. Throws EMFILE; then the file is not released. */
  give(pid: number, file: OpenFile): number {
    for (const fd of this.#numbers.keys()) {
      const slot = this.#slotAt(pid, fd);
      if (slot === undefined || slot.binding !== undefined) continue;
      this.bind(slot, pid, fd, file);
      return fd;
    }
    trace('slot.none', { pid, file: labelOf(file) });
    throw new Errno('EMFILE', 'no free slot');
  }

  /** The open file of a slot. */
  fileOf(node: SlotNode): SlotFile | undefined {
    return this.#open.get(node.ino);
  }

  /** That process has the open slot at `fd`. */
  bind(slot: SlotFile, pid: number, fd: number, file: OpenFile): void {
    slot.binding = new Binding(file, pid, fd);
    trace('slot.bind', { slot: slot.node.name, pid, fd, file: labelOf(file) });
  }

  /** A descriptor of a client's own slot was closed somewhere: has the process that it was given to none left? */
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
    trace('slot.unbind', { slot: slot.node.name, pid: binding.pid, fd: binding.fd, file: labelOf(binding.file) });
    binding.close();
  }
}
