/**
 * /dev/iommu: the table of commands and the open file. Source: drivers/iommu/iommufd/main.c.
 */
import { Errno } from '../abi/errno.js';
import { IOMMUFD_NEWER_COMMANDS } from '../abi/iommufd.js';
import type { FileRequest, OpenFile } from '../kernfs/file.js';
import { userSize } from './command.js';
import type { Command } from './command.js';
import { IommufdContext } from './context.js';
import type { IommufdOptions } from './context.js';
import { HWPT_COMMANDS } from './hwpt-commands.js';
import { IOAS_COMMANDS } from './ioas-commands.js';
import { vfioCompat } from './vfio-compat.js';

/** No program that the lab is for asks these; they are known where the kernel knows them, and do nothing. */
const UNSUPPORTED: readonly Command[] = IOMMUFD_NEWER_COMMANDS.map(({ name, number, minimum }) => ({
  name, number, minimum, size: minimum,
  run: () => {
    throw new Errno('EOPNOTSUPP', name);
  },
}));

/** By number. Those from `profile.iommufdEnd` on do not exist. */
export const IOMMUFD_COMMANDS: ReadonlyMap<number, Command> =
  new Map([...IOAS_COMMANDS, ...HWPT_COMMANDS, ...UNSUPPORTED].map((row) => [row.number, row]));

/** _IOC_NR() of the first command. */
const FIRST_NR = 0x80;

export class IommufdFile implements OpenFile {
  readonly kind = 'iommufd';
  readonly context: IommufdContext;

  constructor(options: IommufdOptions = {}) {
    this.context = new IommufdContext(options);
  }

  async ioctl(request: FileRequest, number: number, argument: bigint): Promise<number> {
    const nr = number & 0xff;
    if (nr < FIRST_NR || nr >= this.context.profile.iommufdEnd) return vfioCompat(this.context, request.caller, number, argument);
    const size = userSize(request.caller, argument);
    const row = IOMMUFD_COMMANDS.get(number);
    if (row === undefined) throw new Errno('ENOTTY');
    if (size < row.minimum) throw new Errno('EINVAL', `${row.name}: size ${size}`);
    await row.run(this.context, request.caller, argument, size);
    return 0;
  }

  release(): void {
    this.context.drop();
  }
}
