/**
 * A VFIO group: /dev/vfio/N. drivers/vfio/group.c.
 *
 * An emulated device always has a group of its own, so a group has one device, or none once that was unregistered. The group is
 * open (second open: EBUSY) while its file is, and beyond that while a device fd that came from it is left: those hold the file,
 * and with it the container.
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET, VFIO_GROUP_FLAGS_VIABLE, VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER, vfio_group_status,
} from '../abi/vfio.js';
import type { CallerMemory } from '../kernfs/caller.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { copyArgument, copyIn, copyOut } from '../kernfs/uaccess.js';
import type { VfioDevice } from './core.js';
import { VfioDeviceFile } from './device-file.js';
import { backingOf } from './group-backing.js';
import type { GroupBacking } from './group-backing.js';
import { ioctlTable } from './ioctl.js';

export class VfioGroup {
  /** dev->group_list: undefined from the device's unregistering on. */
  #device: VfioDevice | undefined;
  /** The IOMMU group behind it is gone: nothing can be done with the group any more. */
  #gone = false;
  #file: VfioGroupFile | undefined;
  #backing: GroupBacking | undefined;
  /** Undoes what the device's first open attached. */
  #detach: (() => void) | undefined;
  /** Device fds of the group API. */
  #deviceFiles = 0;
  /** Cdev fds that are bound. */
  #cdevs = 0;

  constructor(device: VfioDevice) {
    this.#device = device;
  }

  /** vfio_group_fops_open(): throws ENODEV, EBUSY. */
  open(): VfioGroupFile {
    if (this.#gone) throw new Errno('ENODEV');
    if (this.#cdevs > 0 || this.#file !== undefined) throw new Errno('EBUSY');
    this.#file = new VfioGroupFile(this);
    return this.#file;
  }

  /** vfio_device_block_group(): a cdev is being bound. Throws EBUSY while the group is open. */
  block(): void {
    if (this.#file !== undefined) throw new Errno('EBUSY');
    this.#cdevs++;
  }

  unblock(): void {
    this.#cdevs--;
  }

  /** vfio_device_group_unregister(): GET_DEVICE_FD finds it no longer. */
  removeDevice(): void {
    this.#device = undefined;
  }

  /** vfio_device_remove_group(), of the last device: a file that is still open loses its container. */
  markGone(): void {
    this.#leave();
    this.#gone = true;
  }

  /** VFIO_GROUP_* flags. Throws ENODEV. */
  status(): number {
    if (this.#gone) throw new Errno('ENODEV');
    return VFIO_GROUP_FLAGS_VIABLE | (this.#backing === undefined ? 0 : VFIO_GROUP_FLAGS_CONTAINER_SET);
  }

  /** Throws EINVAL while there is a container, ENODEV, EBADFD. */
  setContainer(file: OpenFile | undefined): void {
    if (this.#backing !== undefined) throw new Errno('EINVAL', 'container set');
    if (this.#gone) throw new Errno('ENODEV');
    this.#backing = backingOf(file, this);
  }

  /** Throws EINVAL without a container, EBUSY while a device is open. */
  unsetContainer(): void {
    if (this.#backing === undefined) throw new Errno('EINVAL');
    if (this.#backing.heldByDevices && this.#deviceFiles > 0) throw new Errno('EBUSY');
    this.#leave();
  }

  /** vfio_device_open_file(): throws ENODEV for another name, EINVAL without an IOMMU. */
  openDevice(name: string): VfioDeviceFile {
    const device = this.#device;
    if (device?.name !== name) throw new Errno('ENODEV', name);
    const file = new GroupDeviceFile(device, () => this.#deviceReleased());
    this.#deviceFiles++;
    try {
      const backing = this.#backing;
      if (backing === undefined) throw new Errno('EINVAL', 'no container');
      file.grantAccess(false, () => (this.#detach = backing.attach(device)), () => this.#detach?.());
    } catch (error) {
      file.release();
      throw error;
    }
    return file;
  }

  /** The file was closed. */
  fileReleased(): void {
    if (this.#deviceFiles === 0) this.#closed();
    else if (this.#file !== undefined) this.#file.closed = true;
  }

  #deviceReleased(): void {
    this.#deviceFiles--;
    if (this.#deviceFiles === 0 && this.#file?.closed === true) this.#closed();
  }

  /** vfio_group_fops_release(): the file's last reference, its own or a device's. */
  #closed(): void {
    this.#leave();
    this.#file = undefined;
  }

  #leave(): void {
    this.#backing?.release();
    this.#backing = undefined;
  }
}

/** A device fd from GET_DEVICE_FD: holds the group's file. */
class GroupDeviceFile extends VfioDeviceFile {
  readonly #released: () => void;

  constructor(device: VfioDevice, released: () => void) {
    super(device);
    this.#released = released;
  }

  override release(): void {
    try {
      super.release();
    } finally {
      this.#released();
    }
  }
}

/** An open /dev/vfio/N. */
export class VfioGroupFile implements OpenFile {
  readonly kind = 'vfio-group';
  readonly group: VfioGroup;
  /** The client has closed it; devices still hold it. */
  closed = false;

  constructor(group: VfioGroup) {
    this.group = group;
  }

  ioctl(request: FileRequest, command: number, argument: bigint): Awaitable<number> {
    const row = GROUP_IOCTLS.get(command);
    if (row === undefined) throw new Errno('ENOTTY');
    return row.run(this.group, request, argument);
  }

  release(): void {
    this.group.fileReleased();
  }
}

function getStatus(group: VfioGroup, { caller }: FileRequest, argument: bigint): number {
  const { argsz } = copyArgument(caller, argument, vfio_group_status, 'flags');
  copyOut(caller, argument, vfio_group_status, { argsz, flags: group.status() });
  return 0;
}

async function setContainer(group: VfioGroup, { caller }: FileRequest, argument: bigint): Promise<number> {
  const fd = new Int32Array(copyIn(caller, argument, 4).slice().buffer)[0] ?? -1;
  if (fd < 0) throw new Errno('EBADF');
  group.setContainer(await caller.fileOf(fd));
  return 0;
}

/** The name is looked up before anything else is checked; then the device is opened, then it gets a number in the client. */
function getDeviceFd(group: VfioGroup, { caller }: FileRequest, argument: bigint): number {
  const file = group.openDevice(copyName(caller, argument));
  try {
    return caller.giveFd(file);
  } catch (error) {
    file.release();
    throw error;
  }
}

const PAGE_SIZE = 4096;

/** strndup_user() with a page as the limit: throws EFAULT, and EINVAL where no NUL is among the first 4096 bytes. */
function copyName(memory: CallerMemory, address: bigint): string {
  const bytes: Uint8Array[] = [];
  for (let length = 0; length < PAGE_SIZE;) {
    const at = address + BigInt(length);
    const toPageEnd = PAGE_SIZE - Number(at % BigInt(PAGE_SIZE));
    const chunk = copyIn(memory, at, Math.min(toPageEnd, PAGE_SIZE - length, NAME_CHUNK));
    const end = chunk.indexOf(0);
    bytes.push(end < 0 ? chunk : chunk.subarray(0, end));
    if (end >= 0) return Buffer.concat(bytes).toString('latin1');
    length += chunk.length;
  }
  throw new Errno('EINVAL', 'name too long');
}
/** A UUID and its NUL fit. */
const NAME_CHUNK = 64;

export const GROUP_IOCTLS = ioctlTable<VfioGroup>([
  [VFIO_GROUP_GET_STATUS, 'VFIO_GROUP_GET_STATUS', getStatus],
  [VFIO_GROUP_SET_CONTAINER, 'VFIO_GROUP_SET_CONTAINER', setContainer],
  [VFIO_GROUP_UNSET_CONTAINER, 'VFIO_GROUP_UNSET_CONTAINER', (group) => {
    group.unsetContainer();
    return 0;
  }],
  [VFIO_GROUP_GET_DEVICE_FD, 'VFIO_GROUP_GET_DEVICE_FD', getDeviceFd],
]);
