/**
 * VFIO_DEVICE_FEATURE: one table of features; a new one is a row. drivers/vfio/vfio_main.c: vfio_ioctl_device_feature(),
 * vfio_check_feature().
 *
 * Order of the checks, as recorded from real kernels: argument readable (EFAULT), argsz, unknown flags, GET together with SET
 * (EINVAL), unknown feature (ENOTTY), operation not supported (EINVAL), PROBE ends here with success, payload too small (EINVAL).
 */
import { Errno, isErrno } from '../abi/errno.js';
import {
  VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_MASK, VFIO_DEVICE_FEATURE_PROBE, VFIO_DEVICE_FEATURE_SET, vfio_device_feature,
} from '../abi/vfio.js';
import type { CallerMemory } from '../kernfs/caller.js';
import type { Awaitable, FileRequest } from '../kernfs/file.js';
import { copyIn } from '../kernfs/uaccess.js';
import type { VfioDevice } from './core.js';
import type { VfioFeature } from './device.js';
import { LOGGING_FEATURES } from './feature-logging.js';
import { MIGRATION_FEATURES } from './feature-migration.js';
import type { FeatureRow } from './feature-row.js';

const STANDARD_FEATURES: ReadonlyMap<number, FeatureRow> = new Map([...MIGRATION_FEATURES, ...LOGGING_FEATURES]);
const KNOWN_FLAGS =
  VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE;
const OPERATIONS = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;

export function deviceFeature(device: VfioDevice, request: FileRequest, argument: bigint): Awaitable<number> {
  const head = copyHead(request.caller, argument);
  const { argsz, flags } = vfio_device_feature.decode(head);
  if (argsz < vfio_device_feature.size) throw new Errno('EINVAL', 'argsz');
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
  const address = argument + BigInt(vfio_device_feature.size);
  return feature.run(request, operation, { address, size, input: inputOf(feature, request.caller, address, head) });
}

/** The largest payload that any feature reads. */
const READ_AHEAD = 32;
const PAGE_SIZE = 4096;

/**
 * The header, and what follows it in the same page: that can be read if the header can, and saves a second system call. Where it
 * can't be after all, the header alone.
 */
function copyHead(memory: CallerMemory, argument: bigint): Uint8Array {
  const { size } = vfio_device_feature;
  const room = PAGE_SIZE - Number(argument % BigInt(PAGE_SIZE));
  if (room <= size) return copyIn(memory, argument, size);
  try {
    return copyIn(memory, argument, Math.min(room, size + READ_AHEAD));
  } catch (error) {
    if (!isErrno(error, 'EFAULT')) throw error;
    return copyIn(memory, argument, size);
  }
}

function inputOf({ inputSize = 0 }: VfioFeature, memory: CallerMemory, address: bigint, head: Uint8Array): Uint8Array {
  const { size } = vfio_device_feature;
  if (head.length >= size + inputSize) return head.subarray(size, size + inputSize);
  return copyIn(memory, address, inputSize);
}
