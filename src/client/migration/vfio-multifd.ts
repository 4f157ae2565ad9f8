/** Device state by channels of its own, which this VMM does not have. Source: QEMU's hw/vfio/migration-multifd.c. */
import { ERRNO } from '../../abi/errno.js';
import type { VfioPciDevice } from '../vm/device.js';
import { VfioError } from '../vm/device.js';

/** vfio_multifd_setup(). Throws VfioError where it was asked for. */
export function checkMultifd({ name, multifdTransfer }: VfioPciDevice): void {
  if (multifdTransfer !== 'on') return;
  throw new VfioError(`${name}: Multifd device transfer requested but unsupported in the current config`, ERRNO.EINVAL);
}
