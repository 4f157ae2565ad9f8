/**
 * Device feature MIGRATION_NOTICE (src/abi/mdevsim.ts): the VMM's explicit word that a migration starts or has ended, which the
 * policies `notify` and `enforce` go by. It belongs to the open device: the last close ends it, so a VMM that dies does too.
 */
import { copyOut } from '../kernfs/uaccess.js';
import { Errno } from '../abi/errno.js';
import {
  MDEVSIM_FEATURE_MIGRATION_NOTICE, MDEVSIM_MIGRATION_ENDED, MDEVSIM_MIGRATION_STARTS, mdevsim_migration_notice,
} from '../abi/mdevsim.js';
import { VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET } from '../abi/vfio.js';
import type { VfioFeature } from '../vfio/device.js';
import type { MigrationBlocker } from './blocker.js';

/** SET throws EINVAL for an unknown event or bits in the reserved field, EBUSY for a start that the policy refuses. */
export function migrationNoticeFeature(blocker: MigrationBlocker): VfioFeature {
  return {
    feature: MDEVSIM_FEATURE_MIGRATION_NOTICE,
    name: 'MDEVSIM_FEATURE_MIGRATION_NOTICE',
    supported: VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
    minimumSize: mdevsim_migration_notice.size,
    inputSize: mdevsim_migration_notice.size,
    run: ({ caller }, operation, { address, input }) => {
      if (operation === 'get') {
        const last = blocker.noticed ? MDEVSIM_MIGRATION_STARTS : MDEVSIM_MIGRATION_ENDED;
        copyOut(caller, address, mdevsim_migration_notice, { event: last });
        return 0;
      }
      const { event, __reserved } = mdevsim_migration_notice.decode(input);
      if (__reserved !== 0) throw new Errno('EINVAL', 'reserved');
      if (event === MDEVSIM_MIGRATION_STARTS) blocker.noticeStart();
      else if (event === MDEVSIM_MIGRATION_ENDED) blocker.noticeEnd();
      else throw new Errno('EINVAL', 'unknown event');
      return 0;
    },
  };
}
