/** A client that speaks the RFC's versions with a vGPU, in memory: one container, one device. */
import * as abi from '../../src/abi/vfio.js';
import * as rfc from '../../src/abi/vfio-rfc.js';
import { GvtDevice } from '../../src/drivers/gvt/device.js';
import type { GvtDeviceOptions } from '../../src/drivers/gvt/device.js';
import { GVT_TYPES } from '../../src/drivers/gvt/types.js';
import type { OpenFile } from '../../src/kernfs/file.js';
import { regionOffset } from '../../src/vfio/pci-regions.js';
import { attempt, expect0, hex, UUID_A, VfioClient } from './vfio-client.js';
import type { IoctlResult, Result } from './vfio-client.js';

export type Version = 'rfc' | 'rfc-v2' | 'rfc-v3';
export const REGION = Number(regionOffset(rfc.VFIO_PCI_DEVICE_STATE_REGION_INDEX));
/** Where the image begins in the region. */
export const START_OF: Readonly<Record<Version, number>> = { 'rfc': 0, 'rfc-v2': 1, 'rfc-v3': 1 };
const PAGE = 4096n;

export class RfcClient {
  readonly client: VfioClient;
  readonly gpu: GvtDevice;
  readonly version: Version;
  container = -1;
  group = -1;
  device = -1;

  private constructor(version: Version, options: GvtDeviceOptions, client = new VfioClient()) {
    this.version = version;
    this.client = client;
    const [type] = GVT_TYPES;
    if (type === undefined) throw new Error('no type');
    this.gpu = new GvtDevice(type, { protocol: version, ...options });
  }

  static async open(version: Version, options: GvtDeviceOptions = {}): Promise<RfcClient> {
    const made = new RfcClient(version, options);
    await made.reopen();
    return made;
  }

  async reopen(): Promise<void> {
    Object.assign(this, await this.client.openDevice(this.client.vfio.register({ name: UUID_A }, this.gpu)));
  }

  async close(): Promise<void> {
    for (const fd of [this.device, this.group, this.container]) await this.client.close(fd);
  }

  get file(): OpenFile {
    return this.client.file(this.device);
  }
  get request(): Parameters<NonNullable<OpenFile['ioctl']>>[0] {
    return this.client.request;
  }

  /** Guest memory at IOVA 0; returns its address. */
  async map(pages: number): Promise<bigint> {
    const vaddr = this.client.caller.allocate(pages * 4096);
    expect0(await this.client.ioctl(this.container, abi.VFIO_IOMMU_MAP_DMA,
      abi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags: 3, vaddr, iova: 0n, size: BigInt(pages) * PAGE })));
    return vaddr;
  }

  /** As `pread(fd, buffer, size, region.offset + position)`. */
  async read(position: number, size: number): Promise<Uint8Array> {
    const data = await this.file.read?.(this.request, REGION + position, size);
    if (data === undefined) throw new Error('no read');
    return data;
  }
  async write(position: number, data: Uint8Array): Promise<number> {
    return await this.file.write?.(this.request, REGION + position, data) ?? -1;
  }
  tryRead(position: number, size: number): Promise<Result> {
    return attempt(async () => (await this.read(position, size)).length);
  }
  tryWrite(position: number, data: Uint8Array | readonly number[]): Promise<Result> {
    return attempt(() => this.write(position, Uint8Array.from(data)));
  }

  /** Start or stop as the version has it. */
  async set(what: 'start' | 'stop'): Promise<Result> {
    if (this.version !== 'rfc') return this.tryWrite(0, [what === 'stop' ? rfc.VFIO_DEVICE_STOP : rfc.VFIO_DEVICE_START]);
    return this.status(what === 'stop' ? rfc.VFIO_DEVICE_PCI_STOP : rfc.VFIO_DEVICE_PCI_START);
  }
  status(flags: number, argsz = 8): Promise<IoctlResult> {
    return this.client.ioctl(this.device, rfc.VFIO_DEVICE_PCI_STATUS_SET, rfc.vfio_device_status_set.encode({ argsz, flags }));
  }

  /** The image, read in pieces. */
  async image(piece = 1 << 20): Promise<Buffer> {
    const size = await this.regionSize();
    const parts: Uint8Array[] = [];
    for (let at = START_OF[this.version]; at < size; at += piece) parts.push(await this.read(at, Math.min(piece, size - at)));
    return Buffer.concat(parts);
  }
  async load(image: Uint8Array, piece = 1 << 20): Promise<void> {
    for (let at = 0; at < image.length; at += piece) {
      await this.write(START_OF[this.version] + at, image.subarray(at, at + piece));
    }
  }

  async regionSize(): Promise<number> {
    const asked = abi.vfio_region_info.encode({ argsz: 32, index: rfc.VFIO_PCI_DEVICE_STATE_REGION_INDEX });
    const { bytes } = expect0(await this.client.ioctl(this.device, abi.VFIO_DEVICE_GET_REGION_INFO, asked));
    return Number(abi.vfio_region_info.decode(bytes).size);
  }

  /** GET_DIRTY_BITMAP of whom the version asks, as hex digits, with the long that is too many. */
  async dirty(start: bigint, pages: bigint): Promise<string> {
    const bytes = Number(rfc.dirtyBitmapBytes(pages));
    const argument = new Uint8Array(rfc.vfio_pci_get_dirty_bitmap.size + bytes).fill(0xee);
    rfc.vfio_pci_get_dirty_bitmap.patch(argument, { start_addr: start, page_nr: pages });
    const result = expect0(await this.client.ioctl(...this.#asked, argument));
    return hex(result.bytes.subarray(rfc.vfio_pci_get_dirty_bitmap.size));
  }
  dirtyAt(address: bigint): Promise<Result> {
    return this.client.ioctl(...this.#asked, address);
  }
  get #asked(): [number, number] {
    return this.version === 'rfc' ? [this.device, rfc.VFIO_DEVICE_PCI_GET_DIRTY_BITMAP]
      : [this.container, rfc.VFIO_IOMMU_GET_DIRTY_BITMAP];
  }
}
