/** A client of one vGPU in memory: a container, guest memory at IOVA 0, regions by index; and one that speaks the v1 region. */
import assert from 'node:assert/strict';
import {
  VFIO_DEVICE_GET_REGION_INFO, VFIO_IOMMU_MAP_DMA, VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_NUM_REGIONS, vfio_device_migration_info,
  vfio_iommu_type1_dma_map, vfio_region_info, vfio_region_info_cap_type,
} from '../../src/abi/vfio.js';
import { GvtDevice } from '../../src/drivers/gvt/device.js';
import type { GvtDeviceOptions } from '../../src/drivers/gvt/device.js';
import { gvtType } from '../../src/drivers/gvt/types.js';
import type { IovaSpace } from '../../src/iommufd/dma-space.js';
import type { VfioDevice } from '../../src/vfio/core.js';
import { migrationStateName } from '../../src/vfio/migration-states.js';
import { regionOffset } from '../../src/vfio/pci-regions.js';
import { attempt, expect0, UUID_A, VfioClient } from './vfio-client.js';

export const PAGE = 4096;

export interface RegionInfo {
  readonly size: number;
  readonly flags: number;
  /** Of its type capability. */
  readonly type?: number;
  readonly subtype?: number;
}

export class VgpuClient {
  readonly client = new VfioClient();
  readonly gpu: GvtDevice;
  container = -1;
  group = -1;
  device = -1;
  /** Guest memory. */
  readonly memory: Uint8Array;
  #device: VfioDevice | undefined;

  /** `pages` of guest memory. */
  constructor(options: GvtDeviceOptions = {}, pages = 16, type = 'i915-GVTg_V5_4') {
    this.gpu = new GvtDevice(gvtType({ name: type, deviceApi: 'vfio-pci' }), options);
    this.memory = new Uint8Array(pages * PAGE);
  }

  /** Opens the device and maps the memory. */
  async open(): Promise<this> {
    const registration = this.client.vfio.register({ name: UUID_A }, this.gpu);
    this.#device = registration.device;
    Object.assign(this, await this.client.openDevice(registration));
    const vaddr = 0x2000_0000n;
    this.client.caller.map(vaddr, this.memory);
    expect0(await this.client.ioctl(this.container, VFIO_IOMMU_MAP_DMA,
      vfio_iommu_type1_dma_map.encode({ argsz: 32, flags: 3, vaddr, iova: 0n, size: BigInt(this.memory.length) })));
    return this;
  }

  async close(): Promise<void> {
    for (const fd of [this.device, this.group, this.container]) await this.client.close(fd);
  }

  /** What the device reaches memory through. */
  get dmaSpace(): IovaSpace | undefined {
    return this.#device?.dma.space;
  }

  /** Of the state machine behind every protocol. */
  get state(): string {
    return migrationStateName(this.gpu.migration.getState());
  }

  /** pread(2) in a region; throws the errno. */
  async read(index: number, offset: number, length: number): Promise<Buffer> {
    const file = this.client.file(this.device);
    return Buffer.from(await file.read?.(this.client.request, Number(regionOffset(index)) + offset, length) ?? []);
  }

  async write(index: number, offset: number, data: Uint8Array): Promise<void> {
    const file = this.client.file(this.device);
    assert.equal(await file.write?.(this.client.request, Number(regionOffset(index)) + offset, data), data.length);
  }

  /** `0`, or the errno. */
  async tryRead(index: number, offset: number, length: number): Promise<string> {
    return (await attempt(async () => (await this.read(index, offset, length)).length)).errno;
  }

  async tryWrite(index: number, offset: number, data: Uint8Array): Promise<string> {
    return (await attempt(() => this.write(index, offset, data).then(() => 0))).errno;
  }

  readRegister(offset: number): Promise<number> {
    return this.read(VFIO_PCI_BAR0_REGION_INDEX, offset, 4).then((data) => data.readUInt32LE());
  }
  writeRegister(offset: number, value: number): Promise<void> {
    return this.write(VFIO_PCI_BAR0_REGION_INDEX, offset, u32(value));
  }

  /** VFIO_DEVICE_GET_REGION_INFO with room for capabilities; the errno where it is refused. */
  async regionInfo(index: number): Promise<RegionInfo | string> {
    const argument = new Uint8Array(64);
    vfio_region_info.patch(argument, { argsz: 64, index });
    const { errno, bytes } = await this.client.ioctl(this.device, VFIO_DEVICE_GET_REGION_INFO, argument);
    if (errno !== '0') return errno;
    const { size, flags, cap_offset } = vfio_region_info.decode(bytes);
    const info = { size: Number(size), flags };
    if (cap_offset === 0) return info;
    const { type, subtype } = vfio_region_info_cap_type.decode(bytes, cap_offset);
    return { ...info, type, subtype };
  }
}

export function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
export function u64(value: number | bigint): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);
}

const INFO = vfio_device_migration_info.fields;
type InfoField = keyof typeof INFO;

/** Migrates as the header of Linux 5.8 says, with accesses of eight bytes where it is told to, as QEMU 7.2. */
export class V1Client extends VgpuClient {
  readonly index = VFIO_PCI_NUM_REGIONS;

  constructor(options: Omit<GvtDeviceOptions, 'protocol'> = {}, pages?: number, type?: string) {
    super({ ...options, protocol: 'v1' }, pages, type);
  }

  async get(field: InfoField): Promise<number> {
    const { offset, size } = INFO[field];
    const data = await this.read(this.index, offset, size);
    return size === 4 ? data.readUInt32LE() : Number(data.readBigUInt64LE());
  }

  /** `0`, or the errno. */
  set(field: InfoField, value: number): Promise<string> {
    const { offset, size } = INFO[field];
    return this.tryWrite(this.index, offset, size === 4 ? u32(value) : u64(value));
  }

  /** Into a state, which must be possible. */
  async go(state: number): Promise<void> {
    assert.equal(await this.set('device_state', state), '0', `to ${state}`);
    assert.equal(await this.get('device_state'), state);
  }

  /** Steps a to f of the header, until pending_bytes is 0. */
  async drain(access = 1 << 20): Promise<Buffer> {
    const parts: Buffer[] = [];
    while (await this.get('pending_bytes') > 0) {
      const [offset, size] = [await this.get('data_offset'), await this.get('data_size')];
      if (size === 0) break;
      for (let at = 0; at < size; at += access) {
        parts.push(await this.read(this.index, offset + at, Math.min(access, size - at)));
      }
    }
    return Buffer.concat(parts);
  }

  /** Steps a to c of resuming; `0`, or the errno. */
  async fill(data: Uint8Array, chunk = 64 << 10, access = chunk): Promise<string> {
    for (let at = 0; at < data.length; at += chunk) {
      const offset = await this.get('data_offset');
      const piece = data.subarray(at, at + chunk);
      for (let inner = 0; inner < piece.length; inner += access) {
        const errno = await this.tryWrite(this.index, offset + inner, piece.subarray(inner, inner + access));
        if (errno !== '0') return errno;
      }
      const errno = await this.set('data_size', piece.length);
      if (errno !== '0') return errno;
    }
    return '0';
  }
}
