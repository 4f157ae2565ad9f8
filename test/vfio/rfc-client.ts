/** A client that speaks the RFC's versions with a vGPU, in memory. */
import * as abi from '../../src/abi/vfio.js';
import * as rfc from '../../src/abi/vfio-rfc.js';
import type { GvtDeviceOptions } from '../../src/drivers/gvt/device.js';
import { attempt, expect0, hex } from './vfio-client.js';
import type { IoctlResult, Result } from './vfio-client.js';
import { VgpuClient } from './vgpu-client.js';

export type Version = 'rfc' | 'rfc-v2' | 'rfc-v3';
const REGION = rfc.VFIO_PCI_DEVICE_STATE_REGION_INDEX;
/** Where the image begins in the region. */
export const START_OF: Readonly<Record<Version, number>> = { 'rfc': 0, 'rfc-v2': 1, 'rfc-v3': 1 };
/** Pages of guest memory. */
const PAGES = 130;

export class RfcClient extends VgpuClient {
  readonly version: Version;

  private constructor(version: Version, options: GvtDeviceOptions) {
    super({ protocol: version, ...options }, PAGES);
    this.version = version;
  }

  static openNew(version: Version, options: GvtDeviceOptions = {}): Promise<RfcClient> {
    return new RfcClient(version, options).open();
  }

  /** As `pread(fd, buffer, size, region.offset + position)`. */
  readState(position: number, size: number): Promise<Buffer> {
    return this.read(REGION, position, size);
  }
  writeState(position: number, data: Uint8Array): Promise<void> {
    return this.write(REGION, position, data);
  }
  tryReadState(position: number, size: number): Promise<Result> {
    return attempt(async () => (await this.readState(position, size)).length);
  }
  tryWriteState(position: number, data: Uint8Array | readonly number[]): Promise<Result> {
    return attempt(() => this.writeState(position, Uint8Array.from(data)).then(() => 0));
  }

  /** Start or stop as the version has it. */
  async set(what: 'start' | 'stop'): Promise<Result> {
    if (this.version !== 'rfc') return this.tryWriteState(0, [what === 'stop' ? rfc.VFIO_DEVICE_STOP : rfc.VFIO_DEVICE_START]);
    return this.status(what === 'stop' ? rfc.VFIO_DEVICE_PCI_STOP : rfc.VFIO_DEVICE_PCI_START);
  }
  status(flags: number, argsz = 8): Promise<IoctlResult> {
    return this.client.ioctl(this.device, rfc.VFIO_DEVICE_PCI_STATUS_SET, rfc.vfio_device_status_set.encode({ argsz, flags }));
  }

  /** The image, read in pieces. */
  async image(piece = 1 << 20): Promise<Buffer> {
    const size = await this.regionSize();
    const parts: Uint8Array[] = [];
    for (let at = START_OF[this.version]; at < size; at += piece) {
      parts.push(await this.readState(at, Math.min(piece, size - at)));
    }
    return Buffer.concat(parts);
  }
  async load(image: Uint8Array, piece = 1 << 20): Promise<void> {
    for (let at = 0; at < image.length; at += piece) {
      await this.writeState(START_OF[this.version] + at, image.subarray(at, at + piece));
    }
  }

  async regionSize(): Promise<number> {
    const asked = abi.vfio_region_info.encode({ argsz: 32, index: REGION });
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
