/**
 * /dev: a node per device number. FUSE cannot give out character devices that lead back to the lab, so the nodes are regular
 * files with the mode and owner that devtmpfs gives; they take the same ioctls. Source: drivers/base/devtmpfs.c.
 */
import type { Dir } from '../kernfs/dir.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { FileNode } from '../kernfs/file-node.js';
import type { Device } from './device.js';
import { DeviceIno } from './device.js';
import { DeviceDirs, split } from './device-dirs.js';
import { LazyDir, Members } from './lazy-dir.js';

const DEFAULT_MODE = 0o600;

export class DeviceNode extends FileNode {
  readonly device: Device;

  constructor(ino: number, name: string, device: Device) {
    super(ino, name);
    this.device = device;
  }

  override get defaultMode(): number {
    return this.device.devt?.mode ?? DEFAULT_MODE;
  }

  override get special(): boolean {
    return true;
  }

  override open(request: FileRequest): Awaitable<OpenFile> {
    return this.device.open(request);
  }
}

export class Devtmpfs {
  readonly #dirs: DeviceDirs<Device>;

  /** `root` becomes the parent of a directory `dev`. */
  constructor(root: Dir) {
    const kind = {
      kind: 'file' as const,
      inoOf: (device: Device): number => device.ino + DeviceIno.Node,
      make: (ino: number, name: string, device: Device): DeviceNode => new DeviceNode(ino, name, device),
    };
    const top = new Members<Device>(kind.kind, kind.inoOf, kind.make);
    const dir = new LazyDir(root.tree.allocateInos(1), 'dev', [top], { born: Date.now(), order: 'newest' });
    this.#dirs = new DeviceDirs(root.attach(dir), kind, 'newest', top);
  }

  /** devtmpfs_create_node(); nothing for a device without a number. */
  add(device: Device): void {
    if (device.devt === undefined) return;
    const { above, name } = split(device.devt.node);
    this.#dirs.add(above, name, device);
  }

  /** devtmpfs_delete_node() */
  remove(device: Device): void {
    if (device.devt === undefined) return;
    const { above, name } = split(device.devt.node);
    void this.#dirs.delete(above, name);
  }
}
