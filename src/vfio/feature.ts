/**
 * VFIO_DEVICE_FEATURE: one table of features; a new one is a row. drivers/vfio/vfio_main.c: vfio_ioctl_device_feature(),
 * vfio_check_feature().
 *
 * Order of the checks, as recorded from real kernels: argument readable (EFAULT), argsz, unknown flags, GET together with SET
 * (EINVAL), unknown feature (ENOTTY), operation not supported (EINVAL), PROBE ends here with success, payload too small (EINVAL).
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_MASK, VFIO_DEVICE_FEATURE_PROBE, VFIO_DEVICE_FEATURE_SET, vfio_device_feature,
} from '../abi/vfio.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import type { VfioDevice } from './core.js';
import type { VfioFeature } from './device.js';
import { LOGGING_FEATURES } from './feature-logging.js';
import { MIGRATION_FEATURES } from './feature-migration.js';
import { copyArgument } from './ioctl.js';

/** A feature that VFIO itself answers; undefined from `of` where the device has not got it (ENOTTY). */
export type FeatureRow = (device: VfioDevice) => VfioFeature | undefined;

const STANDARD_FEATURES: ReadonlyMap<number, FeatureRow> = new Map([...MIGRATION_FEATURES, ...LOGGING_FEATURES]);
const KNOWN_FLAGS =
  VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE;
const OPERATIONS = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;

/** Numbers of the features that VFIO itself may answer, for tests that walk the table. */
export const standardFeatures: readonly number[] = [...STANDARD_FEATURES.keys()];

export function deviceFeature(device: VfioDevice, request: FileRequest, argument: bigint): Awaitable<number> {
  const { argsz, flags } = copyArgument(request.caller, argument, vfio_device_feature, 'flags');
  if ((flags & ~KNOWN_FLAGS) !== 0) throw new Errno('EINVAL', 'unknown flags');
  const probe = (flags & VFIO_DEVICE_FEATURE_PROBE) !== 0;
  const operations = flags & OPERATIONS;
  if (!probe && operations === OPERATIONS) throw new Errno('EINVAL', 'GET and SET');
  const number = flags & VFIO_DEVICE_FEATURE_MASK;
  const feature = STANDARD_FEATURES.get(number)?.(device) ?? device.ops.features?.find((row) => row.feature === number);
  if (feature === undefined) throw new Errno('ENOTTY', `feature ${number}`);
  if ((operations & ~feature.supported) !== 0) throw new Errno('EINVAL', 'operation not supported');
  if (probe) return 0;
  const size = argsz - vfio_device_feature.size;
  if (operations === 0 || size < feature.minimumSize) throw new Errno('EINVAL');
  const operation = operations === VFIO_DEVICE_FEATURE_GET ? 'get' : 'set';
  return feature.run(request, operation, request.caller, argument + BigInt(vfio_device_feature.size), size);
}
