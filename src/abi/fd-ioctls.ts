/** The ioctls by which a client gets a descriptor: a row for each command, and what its argument says of the descriptor. */
import { IOMMU_FAULT_QUEUE_ALLOC } from './iommufd.js';
import {
  VFIO_DEVICE_FEATURE, VFIO_DEVICE_FEATURE_MASK, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_STOP_COPY, VFIO_GROUP_GET_DEVICE_FD, vfio_device_feature,
  vfio_device_feature_mig_state,
} from './vfio.js';

/** How it is opened. */
export interface DescriptorMode {
  readonly access: 'read' | 'write' | 'both';
  /** Without a position: pread(2) and lseek(2) are ESPIPE. */
  readonly stream: boolean;
}

export interface FdIoctl {
  readonly command: number;
  /** Bytes of the argument that `mode` looks at. */
  readonly size: number;
  /** Of the descriptor that the call may hand out; undefined when it hands out none. */
  readonly mode: (argument: Uint8Array) => DescriptorMode | undefined;
}

const BOTH: DescriptorMode = { access: 'both', stream: false };

const SAVING: DescriptorMode = { access: 'read', stream: true };
/** Data streams by the state that is asked for. The other states have none. */
const STREAMS: ReadonlyMap<number, DescriptorMode> = new Map([
  [VFIO_DEVICE_STATE_STOP_COPY, SAVING],
  [VFIO_DEVICE_STATE_PRE_COPY, SAVING],
  [VFIO_DEVICE_STATE_PRE_COPY_P2P, SAVING],
  [VFIO_DEVICE_STATE_RESUMING, { access: 'write', stream: true }],
]);

function ofFeature(argument: Uint8Array): DescriptorMode | undefined {
  const { flags } = vfio_device_feature.decode(argument);
  if ((flags & VFIO_DEVICE_FEATURE_SET) === 0 || (flags & VFIO_DEVICE_FEATURE_MASK) !== VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE) return undefined;
  return STREAMS.get(vfio_device_feature_mig_state.decode(argument, vfio_device_feature.size).device_state);
}

export const FD_IOCTLS: ReadonlyMap<number, FdIoctl> = new Map([
  { command: VFIO_GROUP_GET_DEVICE_FD, size: 0, mode: () => BOTH },
  { command: VFIO_DEVICE_FEATURE, size: vfio_device_feature.size + vfio_device_feature_mig_state.size, mode: ofFeature },
  { command: IOMMU_FAULT_QUEUE_ALLOC, size: 0, mode: () => BOTH },
].map((row) => [row.command, row]));
