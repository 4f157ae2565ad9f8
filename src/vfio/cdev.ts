/**
 * VfioCdevFile: an open /dev/vfio/devices/vfioN. Until it is bound to an iommufd everything but BIND_IOMMUFD is EINVAL; only one
 * fd of a device can be bound, and not while the group API has the device. Source: drivers/vfio/device_cdev.c.
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio_device_attach_iommufd_pt, vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../abi/vfio.js';
import type { Fields, Struct, StructValue } from '../abi/layout.js';
import type { IommufdContext } from '../iommufd/context.js';
import type { IommufdDevice } from '../iommufd/hwpt.js';
import { IommufdFile } from '../iommufd/main.js';
import type { CallerMemory } from '../kernfs/caller.js';
import type { FileRequest } from '../kernfs/file.js';
import { copyArgument } from '../kernfs/uaccess.js';
import type { VfioDevice } from './core.js';
import { VfioDeviceFile } from './device-file.js';

/** Copies one field of a struct out. */
function writeField<F extends Fields>(
  memory: CallerMemory, address: bigint, layout: Struct<F>, field: keyof F & string, values: Partial<StructValue<Struct<F>>>,
): void {
  const { offset, size } = layout.fields[field];
  memory.write(address + BigInt(offset), layout.encode(values).subarray(offset, offset + size));
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}

/** The group that the device is in: a bound cdev keeps it closed. */
export interface GroupExclusion {
  /** vfio_device_block_group(): throws EBUSY while the group is open or a device fd of it is left. */
  block(): void;
  /** vfio_device_unblock_group(): once for every block() that did not throw. */
  unblock(): void;
}

interface Bound {
  readonly context: IommufdContext;
  readonly device: IommufdDevice;
}

export class VfioCdevFile extends VfioDeviceFile {
  readonly #group: GroupExclusion;
  #bound: Bound | undefined;

  constructor(device: VfioDevice, group: GroupExclusion) {
    super(device);
    this.#group = group;
  }

  /** vfio_df_ioctl_bind_iommufd() */
  protected override async bindIommufd({ caller }: FileRequest, argument: bigint): Promise<number> {
    const bind = copyArgument(caller, argument, vfio_device_bind_iommufd, 'out_devid');
    if (bind.flags !== 0 || bind.iommufd < 0) throw new Errno('EINVAL', 'flags or a negative fd');
    this.#group.block();
    const unblock = once(() => this.#group.unblock());
    try {
      if (this.accessGranted) throw new Errno('EINVAL', 'bound already');
      const file = await caller.fileOf(bind.iommufd);
      if (!(file instanceof IommufdFile)) throw new Errno('EBADFD', 'not an iommufd');
      // Looking up the fd took a while: another thread may have bound this file meanwhile.
      if (this.accessGranted) throw new Errno('EINVAL', 'bound already');
      this.#grant(file.context, unblock, (id) => {
        writeField(caller, argument, vfio_device_bind_iommufd, 'out_devid', { out_devid: id });
      });
    } catch (error) {
      unblock();
      throw error;
    }
    return 0;
  }

  protected override attachIoctl(request: FileRequest, command: number, argument: bigint): number | undefined {
    if (command === VFIO_DEVICE_ATTACH_IOMMUFD_PT) return this.#attach(request, argument);
    if (command === VFIO_DEVICE_DETACH_IOMMUFD_PT) return this.#detach(request, argument);
    return undefined;
  }

  /** `report` hands the device's id to the client; where that fails nothing stays bound. */
  #grant(context: IommufdContext, unblock: () => void, report: (id: number) => void): void {
    const attach = (): void => {
      const device = context.bind(this.device.dma);
      try {
        report(device.id);
      } catch (error) {
        context.unbind(device);
        throw error;
      }
      this.#bound = { context, device };
    };
    const detach = (): void => {
      const bound = this.#bound;
      this.#bound = undefined;
      if (bound !== undefined) bound.context.unbind(bound.device);
      unblock();
    };
    this.grantAccess(true, attach, detach);
  }

  /** vfio_df_ioctl_attach_pt(): attaching again moves the device over. */
  #attach({ caller }: FileRequest, argument: bigint): number {
    const attach = copyArgument(caller, argument, vfio_device_attach_iommufd_pt, 'pt_id');
    if (attach.flags !== 0) throw new Errno(this.device.profile.attachFlags, 'flags');
    const { context, device } = this.#boundDevice();
    device.attach(context.objects, attach.pt_id);
    try {
      writeField(caller, argument, vfio_device_attach_iommufd_pt, 'pt_id', attach);
    } catch (error) {
      device.detach();
      throw error;
    }
    return 0;
  }

  /** vfio_df_ioctl_detach_pt(): fine when it is attached to nothing. */
  #detach({ caller }: FileRequest, argument: bigint): number {
    const detach = copyArgument(caller, argument, vfio_device_detach_iommufd_pt, 'flags');
    if (detach.flags !== 0) throw new Errno(this.device.profile.attachFlags, 'flags');
    this.#boundDevice().device.detach();
    return 0;
  }

  #boundDevice(): Bound {
    if (this.#bound === undefined) throw new Errno('EINVAL', 'not bound');
    return this.#bound;
  }
}
