/** A machine with mtty in memory, and a client that uses its files as system calls would (links followed, no FUSE). */
import { Errno, isErrno } from '../../src/abi/errno.js';
import { Machine } from '../../src/device/machine.js';
import { registerMisc } from '../../src/device/misc.js';
import type { Uevent } from '../../src/device/uevent.js';
import { createMttyDriver } from '../../src/drivers/mtty/index.js';
import { Dir } from '../../src/kernfs/dir.js';
import type { FileRequest, OpenFile } from '../../src/kernfs/file.js';
import { FileNode } from '../../src/kernfs/file-node.js';
import type { Node } from '../../src/kernfs/node.js';
import { orderedEntries } from '../../src/kernfs/readdir.js';
import { Symlink } from '../../src/kernfs/symlink.js';
import { MdevCore } from '../../src/mdev/core.js';
import { FakeCaller } from '../fakes/caller.js';
import { FakeVfio } from './fake-vfio.js';

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;

export const PARENT = '/sys/devices/virtual/mtty/mtty';
export const TYPES = `${PARENT}/mdev_supported_types`;

export function request(flags = O_RDWR, signal = new AbortController().signal): FileRequest {
  return { caller: new FakeCaller({ pid: 78 }), signal, flags };
}

/** An open file of the fake process. */
export class Handle {
  #position = 0;
  constructor(readonly file: OpenFile, readonly flags: number, readonly signal?: AbortSignal) {}

  async write(data: string | Uint8Array): Promise<number> {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    const written = await this.file.write?.(request(this.flags, this.signal), this.#position, bytes);
    if (written === undefined) throw new Errno('EINVAL');
    this.#position += written;
    return written;
  }
  async read(size = 4096): Promise<string> {
    const data = await this.file.read?.(request(this.flags, this.signal), this.#position, size);
    if (data === undefined) throw new Errno('EINVAL');
    this.#position += data.length;
    return Buffer.from(data).toString('latin1');
  }
  async close(): Promise<void> {
    await this.file.release();
  }
}

export class Bench {
  readonly machine = new Machine();
  readonly vfio = new FakeVfio();
  readonly core = new MdevCore(this.machine, this.vfio);
  readonly uevents: Uevent[] = [];

  constructor() {
    const open = (): never => { throw new Errno('ENXIO'); };
    registerMisc(this.machine, { name: 'vfio', minor: 196, nodename: 'vfio/vfio', mode: 0o666, open });
    registerMisc(this.machine, { name: 'iommu', minor: 257, mode: 0o660, open });
    this.machine.uevents.subscribe((event) => this.uevents.push(event));
  }

  /** Loads mtty. */
  load(ports = 24): ReturnType<MdevCore['registerDriver']> {
    return this.core.registerDriver(createMttyDriver({ ports }));
  }

  /** The node at an absolute path; links are followed, the last one too unless told otherwise. Throws ENOENT, ENOTDIR. */
  walk(path: string, follow = true): Node {
    let node: Node = this.machine.root;
    let rest = path.split('/').filter((part) => part !== '');
    for (let links = 0; rest.length > 0 || (follow && node instanceof Symlink);) {
      if (node instanceof Symlink) {
        if (++links > 40) throw new Errno('ELOOP');
        rest = [...node.target.split('/'), ...rest];
        node = node.parent ?? node;
        continue;
      }
      const [name = '', ...others] = rest;
      rest = others;
      if (!(node instanceof Dir)) throw new Errno('ENOTDIR', path);
      const next = name === '..' ? node.parent : node.lookup(name);
      if (next === undefined) throw new Errno('ENOENT', path);
      node = next;
    }
    return node;
  }

  exists(path: string): boolean {
    try {
      this.walk(path, false);
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** Names in the order of readdir(3), without the dots. */
  list(path: string): string[] {
    const node = this.walk(path);
    if (!(node instanceof Dir)) throw new Errno('ENOTDIR', path);
    return orderedEntries(node).map(({ name }) => name);
  }

  async open(path: string, flags: number, signal?: AbortSignal): Promise<Handle> {
    const node = this.walk(path);
    if (!(node instanceof FileNode)) throw new Errno('EISDIR', path);
    return new Handle(await node.open(request(flags, signal)), flags, signal);
  }

  async cat(path: string): Promise<string> {
    const handle = await this.open(path, O_RDONLY);
    try {
      return await handle.read();
    } finally {
      await handle.close();
    }
  }

  async echo(data: string | Uint8Array, path: string, signal?: AbortSignal): Promise<number> {
    const handle = await this.open(path, O_WRONLY, signal);
    try {
      return await handle.write(data);
    } finally {
      await handle.close();
    }
  }

  create(uuid: string, type = 'mtty-1'): Promise<number> {
    return this.echo(uuid, `${TYPES}/${type}/create`);
  }

  async available(): Promise<number[]> {
    const of = async (type: string): Promise<number> => Number(await this.cat(`${TYPES}/${type}/available_instances`));
    return [await of('mtty-1'), await of('mtty-2')];
  }
}

/** What a call gives as the recordings write it: the errno's name, or "0". */
export async function errnoOf(call: () => unknown): Promise<string> {
  try {
    await call();
    return '0';
  } catch (error) {
    if (isErrno(error)) return error.code;
    throw error;
  }
}
