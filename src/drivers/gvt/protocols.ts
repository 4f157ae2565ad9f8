/**
 * The generations of the migration protocol that a vGPU can speak, one row each. Whatever the protocol, the states, policies and
 * faults are those of the one MigrationMachine behind it. A new one is a row here; a device without `features` in its row has
 * none of VFIO's migration features.
 */
import type { Awaitable, FileRequest } from '../../kernfs/file.js';
import type { DmaSpace } from '../../vfio/device.js';
import type { DeviceRegion } from '../../vfio/device-region.js';
import { MigrationRegionV1 } from '../../vfio/migration-v1.js';
import { RfcProtocol } from '../../vfio/rfc-protocol.js';
import type { Type1 } from '../../vfio/type1.js';
import type { GvtDevice } from './device.js';

/** What a protocol adds to the device. Made when the protocol is chosen, while nobody has the device open. */
export interface ProtocolSide {
  /** VFIO_DEVICE_FLAGS_* in GET_INFO. */
  readonly infoFlags?: number;
  /** With indexes from VFIO_PCI_NUM_REGIONS on. */
  readonly regions?: readonly DeviceRegion[];
  /** An ioctl of the device that VFIO and the driver do not know; undefined for those that are not the protocol's either. */
  ioctl?(request: FileRequest, command: number, argument: bigint): Awaitable<number> | undefined;
  /** OpenFile.ioctlKind of the device's files. */
  readonly ioctlKind?: string | undefined;
  /** First open of the device. */
  open?(dma: DmaSpace): void;
  /** The machine is in another state, or was reset. */
  entered?(): void;
  /** VfioDeviceOps.attachContainer() */
  attachContainer?(iommu: Type1): () => void;
  /** Last close of the device. */
  close?(): void;
}

interface ProtocolRow {
  /** VFIO_DEVICE_FEATURE_MIGRATION and the others, and the device's own dirty page log. */
  readonly features?: true;
  readonly make: (device: GvtDevice) => ProtocolSide;
}

const PROTOCOLS = {
  /** Linux 5.18 and later. */
  'v2': { features: true, make: () => ({}) },
  /** Linux 5.8 to 5.17, QEMU 5.2 to 7.2. */
  'v1': {
    make: ({ migration }) => {
      const region = new MigrationRegionV1(migration);
      return { regions: [region], entered: () => region.entered(), close: () => region.close() };
    },
  },
  /** Proposed in 2017 and 2018, never merged. */
  'rfc': { make: ({ migration }) => new RfcProtocol('rfc', migration) },
  'rfc-v2': { make: ({ migration }) => new RfcProtocol('rfc-v2', migration) },
  'rfc-v3': { make: ({ migration }) => new RfcProtocol('rfc-v3', migration) },
} as const satisfies Readonly<Record<string, ProtocolRow>>;

export type ProtocolName = keyof typeof PROTOCOLS;
export const PROTOCOL_NAMES = Object.keys(PROTOCOLS) as readonly ProtocolName[];
export const DEFAULT_PROTOCOL: ProtocolName = 'v2';

export function isProtocolName(name: string): name is ProtocolName {
  return Object.hasOwn(PROTOCOLS, name);
}

export function protocolRow(name: ProtocolName): ProtocolRow {
  return PROTOCOLS[name];
}
