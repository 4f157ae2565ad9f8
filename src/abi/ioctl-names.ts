/**
 * Ioctls as text, `VFIO_DEVICE_FEATURE SET MIG_DEVICE_STATE STOP_COPY`, for traces. One row per ioctl of a kind of file; the same
 * number means different things on a container, a device and a data file.
 */
import * as iommufd from './iommufd.js';
import type { Struct } from './layout.js';
import { MDEVSIM_FEATURE_MIGRATION_NOTICE } from './mdevsim.js';
import * as vfio from './vfio.js';
import * as rfc from './vfio-rfc.js';

type AnyStruct = Pick<Struct<Record<never, never>>, 'size'> & { decode(data: Uint8Array): object };
/** Argument and the fields of it that a trace shows, in that order; what they held after the call. */
interface Row {
  readonly name: string;
  readonly argument?: AnyStruct;
  readonly show?: readonly string[];
}
type Rows = ReadonlyMap<number, Row>;

const row = (name: string, argument?: AnyStruct, ...show: string[]): Row =>
  ({ name, ...(argument === undefined ? {} : { argument }), show });

const DEVICE: Rows = new Map([
  [vfio.VFIO_DEVICE_GET_INFO, row('VFIO_DEVICE_GET_INFO')],
  [vfio.VFIO_DEVICE_GET_REGION_INFO, row('VFIO_DEVICE_GET_REGION_INFO', vfio.vfio_region_info, 'index')],
  [vfio.VFIO_DEVICE_GET_IRQ_INFO, row('VFIO_DEVICE_GET_IRQ_INFO', vfio.vfio_irq_info, 'index')],
  [vfio.VFIO_DEVICE_SET_IRQS, row('VFIO_DEVICE_SET_IRQS', vfio.vfio_irq_set, 'index', 'flags', 'start', 'count')],
  [vfio.VFIO_DEVICE_RESET, row('VFIO_DEVICE_RESET')],
  [vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, row('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO')],
  [vfio.VFIO_DEVICE_QUERY_GFX_PLANE, row('VFIO_DEVICE_QUERY_GFX_PLANE')],
  [vfio.VFIO_DEVICE_IOEVENTFD, row('VFIO_DEVICE_IOEVENTFD')],
  [vfio.VFIO_DEVICE_FEATURE, row('VFIO_DEVICE_FEATURE')],
  [vfio.VFIO_DEVICE_BIND_IOMMUFD, row('VFIO_DEVICE_BIND_IOMMUFD')],
  [vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT, row('VFIO_DEVICE_ATTACH_IOMMUFD_PT')],
  [vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT, row('VFIO_DEVICE_DETACH_IOMMUFD_PT')],
]);
const DATA: Rows = new Map([[vfio.VFIO_MIG_GET_PRECOPY_INFO, row('VFIO_MIG_GET_PRECOPY_INFO')]]);
const GROUP: Rows = new Map([
  [vfio.VFIO_GROUP_GET_STATUS, row('VFIO_GROUP_GET_STATUS')],
  [vfio.VFIO_GROUP_SET_CONTAINER, row('VFIO_GROUP_SET_CONTAINER')],
  [vfio.VFIO_GROUP_UNSET_CONTAINER, row('VFIO_GROUP_UNSET_CONTAINER')],
  [vfio.VFIO_GROUP_GET_DEVICE_FD, row('VFIO_GROUP_GET_DEVICE_FD')],
]);
const CONTAINER: Rows = new Map([
  [vfio.VFIO_GET_API_VERSION, row('VFIO_GET_API_VERSION')],
  [vfio.VFIO_CHECK_EXTENSION, row('VFIO_CHECK_EXTENSION')],
  [vfio.VFIO_SET_IOMMU, row('VFIO_SET_IOMMU')],
  [vfio.VFIO_IOMMU_GET_INFO, row('VFIO_IOMMU_GET_INFO')],
  [vfio.VFIO_IOMMU_MAP_DMA, row('VFIO_IOMMU_MAP_DMA', vfio.vfio_iommu_type1_dma_map, 'iova', 'size')],
  [vfio.VFIO_IOMMU_UNMAP_DMA, row('VFIO_IOMMU_UNMAP_DMA', vfio.vfio_iommu_type1_dma_unmap, 'iova', 'size')],
  [vfio.VFIO_IOMMU_DIRTY_PAGES, row('VFIO_IOMMU_DIRTY_PAGES', vfio.vfio_iommu_type1_dirty_bitmap, 'flags')],
]);
/** Numbers that only commands have. */
const FIRST_IOMMUFD_COMMAND = iommufd.IOMMU_DESTROY;
/** Those of VFIO's container, which it imitates, are its too. */
const IOMMUFD: Rows = new Map([
  ...CONTAINER,
  ...Object.entries(iommufd).flatMap(([name, value]) =>
    (typeof value === 'number' && value >= FIRST_IOMMUFD_COMMAND ? [[value, row(name)] as const] : [])),
  ...iommufd.IOMMUFD_NEWER_COMMANDS.map(({ name, number }) => [number, row(name)] as const),
  [iommufd.IOMMU_IOAS_MAP, row('IOMMU_IOAS_MAP', iommufd.iommu_ioas_map, 'iova', 'length')],
  [iommufd.IOMMU_IOAS_UNMAP, row('IOMMU_IOAS_UNMAP', iommufd.iommu_ioas_unmap, 'iova', 'length')],
  [iommufd.IOMMU_HWPT_ALLOC, row('IOMMU_HWPT_ALLOC', iommufd.iommu_hwpt_alloc, 'flags')],
  [iommufd.IOMMU_HWPT_SET_DIRTY_TRACKING, row('IOMMU_HWPT_SET_DIRTY_TRACKING', iommufd.iommu_hwpt_set_dirty_tracking, 'flags')],
  [iommufd.IOMMU_HWPT_GET_DIRTY_BITMAP, row('IOMMU_HWPT_GET_DIRTY_BITMAP', iommufd.iommu_hwpt_get_dirty_bitmap, 'iova', 'length')],
]);
const RFC_DEVICE: Rows = new Map([
  ...DEVICE,
  [rfc.VFIO_DEVICE_PCI_STATUS_SET, row('VFIO_DEVICE_PCI_STATUS_SET', rfc.vfio_device_status_set, 'flags')],
  [rfc.VFIO_DEVICE_PCI_GET_DIRTY_BITMAP,
    row('VFIO_DEVICE_PCI_GET_DIRTY_BITMAP', rfc.vfio_pci_get_dirty_bitmap, 'start_addr', 'page_nr')],
]);
const RFC_CONTAINER: Rows = new Map([
  ...CONTAINER,
  [rfc.VFIO_IOMMU_GET_DIRTY_BITMAP,
    row('VFIO_IOMMU_GET_DIRTY_BITMAP', rfc.vfio_iommu_get_dirty_bitmap, 'start_addr', 'page_nr')],
]);
const KINDS: Readonly<Record<string, Rows>> = {
  'vfio-device': DEVICE, 'vfio-group': GROUP, 'vfio-container': CONTAINER, iommufd: IOMMUFD,
  'migration-saving': DATA, 'migration-resuming': DATA, 'vfio-device rfc': RFC_DEVICE, 'vfio-container rfc': RFC_CONTAINER,
};

const FEATURES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(vfio).flatMap(([name, value]) => {
    const feature = /^VFIO_DEVICE_FEATURE_(?!GET$|SET$|PROBE$|MASK$|SET_MASTER$|CLEAR_MASTER$)(\w+)$/.exec(name)?.[1];
    return feature === undefined || typeof value !== 'number' ? [] : [[value, feature] as const];
  }),
  [MDEVSIM_FEATURE_MIGRATION_NOTICE, 'MDEVSIM_MIGRATION_NOTICE'],
]);
/** By VFIO_DEVICE_STATE_*. */
const STATES = ['ERROR', 'STOP', 'RUNNING', 'STOP_COPY', 'RESUMING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P'];

/** Reads the caller's memory: bytes at `offset` of the argument; undefined where they can't be read. */
export type ReadArgument = (offset: number, length: number) => Uint8Array | undefined;

/** Undefined for a kind of file that is none of VFIO's. An unknown command is told by its number. */
export function describeIoctl(kind: string, command: number, read: ReadArgument): string | undefined {
  const rows = KINDS[kind];
  if (rows === undefined) return undefined;
  const found = rows.get(command);
  if (found === undefined) return `0x${command.toString(16)}`;
  if (found.name === 'VFIO_DEVICE_FEATURE') return `${found.name} ${describeFeature(read)}`;
  const data = found.argument === undefined ? undefined : read(0, found.argument.size);
  if (found.argument === undefined || data === undefined) return found.name;
  const values = found.argument.decode(data) as Readonly<Record<string, unknown>>;
  return [found.name, ...(found.show ?? []).map((field) => `${field}=${String(values[field])}`)].join(' ');
}

function describeFeature(read: ReadArgument): string {
  const header = read(0, vfio.vfio_device_feature.size);
  if (header === undefined) return '?';
  const { flags } = vfio.vfio_device_feature.decode(header);
  const number = flags & vfio.VFIO_DEVICE_FEATURE_MASK;
  const operations = [
    ...((flags & vfio.VFIO_DEVICE_FEATURE_PROBE) === 0 ? [] : ['PROBE']),
    ...((flags & vfio.VFIO_DEVICE_FEATURE_GET) === 0 ? [] : ['GET']),
    ...((flags & vfio.VFIO_DEVICE_FEATURE_SET) === 0 ? [] : ['SET']),
  ];
  const words = [...operations, FEATURES.get(number) ?? String(number)];
  if (number === vfio.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE && operations.includes('SET') && !operations.includes('PROBE')) {
    const payload = read(vfio.vfio_device_feature.size, vfio.vfio_device_feature_mig_state.size);
    if (payload !== undefined) {
      const { device_state, data_fd } = vfio.vfio_device_feature_mig_state.decode(payload);
      words.push(STATES[device_state] ?? String(device_state), ...(data_fd < 0 ? [] : ['(fd)']));
    }
  }
  return words.join(' ');
}
