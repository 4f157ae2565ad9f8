/**
 * The migration features: MIGRATION, MIG_DEVICE_STATE, MIG_DATA_SIZE. drivers/vfio/vfio_main.c:
 * vfio_ioctl_device_feature_migration(), vfio_ioctl_device_feature_mig_device_state(), vfio_ioct_mig_return_fd(),
 * vfio_ioctl_device_feature_migration_data_size().
 */
import { isErrno } from '../abi/errno.js';
import {
  VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_MIGRATION, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_SET, vfio_device_feature_mig_data_size, vfio_device_feature_mig_state, vfio_device_feature_migration,
} from '../abi/vfio.js';
import type { Awaitable, FileRequest, OpenFile } from '../kernfs/file.js';
import { copyOut } from '../kernfs/uaccess.js';
import type { VfioDevice } from './core.js';
import type { VfioFeature, VfioMigrationOps } from './device.js';
import { madeOnce } from './feature-row.js';
import type { FeatureRow } from './feature-row.js';

const migration = (ops: VfioMigrationOps): VfioFeature => ({
  feature: VFIO_DEVICE_FEATURE_MIGRATION,
  name: 'VFIO_DEVICE_FEATURE_MIGRATION',
  supported: VFIO_DEVICE_FEATURE_GET,
  minimumSize: vfio_device_feature_migration.size,
  run: ({ caller }, _operation, { address }) => {
    copyOut(caller, address, vfio_device_feature_migration, { flags: BigInt(ops.flags) });
    return 0;
  },
});

const migrationDataSize = (ops: VfioMigrationOps): VfioFeature => ({
  feature: VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  name: 'VFIO_DEVICE_FEATURE_MIG_DATA_SIZE',
  supported: VFIO_DEVICE_FEATURE_GET,
  minimumSize: vfio_device_feature_mig_data_size.size,
  run: (request, _operation, { address }) => then(ops.dataSize(request), (bytes) => {
    copyOut(request.caller, address, vfio_device_feature_mig_data_size, { stop_copy_length: bytes });
    return 0;
  }),
});

const migrationState = (ops: VfioMigrationOps): VfioFeature => ({
  feature: VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  name: 'VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE',
  supported: VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
  minimumSize: vfio_device_feature_mig_state.size,
  inputSize: vfio_device_feature_mig_state.size,
  run: (request, operation, { address, input }) => {
    const { device_state } = vfio_device_feature_mig_state.decode(input);
    const answer = (state: number, dataFd: number): number => {
      copyOut(request.caller, address, vfio_device_feature_mig_state, { device_state: state, data_fd: dataFd });
      return 0;
    };
    if (operation === 'get') return answer(ops.getState(), -1);
    return migrate(ops, request, device_state, address, answer);
  },
});

/**
 * VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, of kernels after 6.12: from its SET on, GET_PRECOPY_INFO may answer that there are new
 * initial bytes. No device here ever has any, so there is nothing to remember.
 */
const VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12;
const precopyInfo2: VfioFeature = {
  feature: VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  name: 'VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2',
  supported: VFIO_DEVICE_FEATURE_SET,
  minimumSize: 0,
  run: () => 0,
};

/** An errno of the transition is told after data_fd = -1 was written; a reply that can't be written is EFAULT all the same. */
function migrate(
  ops: VfioMigrationOps, request: FileRequest, state: number, address: bigint, answer: (state: number, fd: number) => number,
): Awaitable<number> {
  const failed = (error: unknown): never => {
    if (isErrno(error)) answer(state, -1);
    throw error;
  };
  const moved = (file: OpenFile | undefined): Awaitable<number> => file === undefined ? answer(state, -1) : give(request, address, file);
  let result: Awaitable<OpenFile | undefined>;
  try {
    result = ops.setState(request, state);
  } catch (error) {
    return failed(error);
  }
  return result instanceof Promise ? result.then(moved, failed) : moved(result);
}

/**
 * vfio_ioct_mig_return_fd(): the transition stands even when the file can't be handed over. The reply is written once before
 * with the bytes that are there already, because a descriptor that was installed can't be taken back.
 */
function give({ caller }: FileRequest, payload: bigint, file: OpenFile): Awaitable<number> {
  const { data_fd } = vfio_device_feature_mig_state.fields;
  let fd: number;
  try {
    const address = payload + BigInt(data_fd.offset);
    caller.write(address, caller.read(address, data_fd.size));
    fd = caller.giveFd(file);
  } catch (error) {
    return then(file.release(), () => {
      throw error;
    });
  }
  const bytes = vfio_device_feature_mig_state.encode({ data_fd: fd });
  caller.write(payload + BigInt(data_fd.offset), bytes.subarray(data_fd.offset));
  return 0;
}

function then<T, R>(value: Awaitable<T>, next: (value: T) => R): Awaitable<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

const migrationOf = ({ ops }: VfioDevice): VfioMigrationOps | undefined =>
  (ops.migrationFeatures === false ? undefined : ops.migration);
const ofMigration = (make: (ops: VfioMigrationOps) => VfioFeature): FeatureRow => madeOnce(migrationOf, make);

export const MIGRATION_FEATURES: readonly (readonly [number, FeatureRow])[] = [
  [VFIO_DEVICE_FEATURE_MIGRATION, ofMigration(migration)],
  [VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, ofMigration(migrationState)],
  [VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, ofMigration(migrationDataSize)],
  [VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, (device) =>
    (device.profile.precopyInfoV2 && migrationOf(device) !== undefined ? precopyInfo2 : undefined)],
];
