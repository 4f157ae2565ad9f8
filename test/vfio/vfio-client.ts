/**
 * A client of the group API in memory: a fake process that opens lab files and makes ioctls on them as a program would, and a
 * small driver whose device does DMA. Used by the tests of this folder.
 */
import { Errno } from '../../src/abi/errno.js';
import { VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_SET_CONTAINER, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU } from '../../src/abi/vfio.js';
import type { FileRequest, OpenFile } from '../../src/kernfs/file.js';
import type { DmaSpace, VfioDeviceOps } from '../../src/vfio/device.js';
import { Vfio } from '../../src/vfio/registrar.js';
import type { VfioOptions, VfioRegistration } from '../../src/vfio/registrar.js';
import { FakeCaller, fakeRequest } from '../fakes/caller.js';

export const UUID_A = 'd0000000-0000-4000-8000-000000000001';
export const UUID_B = 'd0000000-0000-4000-8000-000000000002';

/** What a system call returned: `errno` is "0" for success, as in the golden records. */
export interface Result {
  readonly ret: number;
  readonly errno: string;
}

export interface IoctlResult extends Result {
  /** The argument's bytes afterwards. */
  readonly bytes: Uint8Array;
}

/** A device that only does DMA, and remembers what VFIO told it. */
export class FakeDevice implements VfioDeviceOps {
  readonly deviceApi = 'vfio-pci';
  readonly dmaLogging = true;
  readonly calls: string[] = [];
  dma: DmaSpace | undefined;
  migration: VfioDeviceOps['migration'];
  features: VfioDeviceOps['features'];

  openDevice(dma: DmaSpace): void {
    this.calls.push('open');
    this.dma = dma;
  }
  closeDevice(): void {
    this.calls.push('close');
  }
  request(count: number): void {
    this.calls.push(`request ${count}`);
  }
  read(_request: FileRequest, _offset: number, size: number): Uint8Array {
    return new Uint8Array(size);
  }
  write(_request: FileRequest, _offset: number, data: Uint8Array): number {
    return data.length;
  }
  ioctl(): number {
    throw new Errno('ENOTTY');
  }
}

/** Where ioctl() puts its argument. */
const SCRATCH = 0x1000_0000n;
const SCRATCH_SIZE = 1 << 16;

export class VfioClient {
  readonly caller: FakeCaller;
  readonly vfio: Vfio;
  readonly #scratch = new Uint8Array(SCRATCH_SIZE);

  constructor(options: VfioOptions & { readonly vfio?: Vfio; readonly slots?: number } = {}) {
    this.caller = new FakeCaller(options.slots === undefined ? {} : { slots: options.slots });
    this.vfio = options.vfio ?? new Vfio(options);
    this.caller.map(SCRATCH, this.#scratch);
  }

  get request(): FileRequest {
    return fakeRequest(this.caller);
  }

  openContainer(): number {
    return this.caller.install(this.vfio.openContainer(this.request));
  }

  /** open(2) of the group's node: a descriptor in `ret`. */
  async openGroup(registration: VfioRegistration): Promise<Result> {
    return attempt(() => this.caller.install(registration.openGroup(this.request)));
  }

  async close(fd: number): Promise<void> {
    await this.caller.close(fd);
  }

  file(fd: number): OpenFile {
    return this.caller.file(fd);
  }

  /** `argument` is a plain number, or bytes that the ioctl gets the address of. */
  async ioctl(fd: number, command: number, argument: bigint | Uint8Array = 0n): Promise<IoctlResult> {
    const size = typeof argument === 'bigint' ? 0 : argument.length;
    if (typeof argument !== 'bigint') this.#scratch.set(argument);
    const address = typeof argument === 'bigint' ? argument : SCRATCH;
    const file = this.file(fd);
    const result = await attempt(async () => {
      if (file.ioctl === undefined) throw new Errno('ENOTTY');
      return file.ioctl(this.request, command, address);
    });
    return { ...result, bytes: this.#scratch.slice(0, size) };
  }

  /** A container of `type` with the device open: throws what the test did not expect. */
  async openDevice(registration: VfioRegistration, type = VFIO_TYPE1v2_IOMMU): Promise<{ container: number; group: number; device: number }> {
    const container = this.openContainer();
    const group = expect0(await this.openGroup(registration)).ret;
    expect0(await this.ioctl(group, VFIO_GROUP_SET_CONTAINER, int32(container)));
    expect0(await this.ioctl(container, VFIO_SET_IOMMU, BigInt(type)));
    const device = expect0(await this.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, cString(registration.device.name))).ret;
    return { container, group, device };
  }
}

export async function attempt(action: () => number | Promise<number>): Promise<Result> {
  try {
    return { ret: await action(), errno: '0' };
  } catch (error) {
    if (error instanceof Errno) return { ret: -1, errno: error.code };
    throw error;
  }
}

export function expect0<T extends Result>(result: T): T {
  if (result.errno !== '0') throw new Error(`unexpected ${result.errno}`);
  return result;
}

export const int32 = (value: number): Uint8Array => new Uint8Array(new Int32Array([value]).buffer);
export const cString = (text: string): Uint8Array => Buffer.from(`${text}\0`, 'latin1');
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
