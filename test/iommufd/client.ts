/** A client of /dev/iommu for tests: encodes the structs, runs the command, decodes what came back. */
import * as abi from '../../src/abi/iommufd.js';
import type { Fields, Struct, StructValue } from '../../src/abi/layout.js';
import { IommufdFile } from '../../src/iommufd/main.js';
import { FakeCaller, fakeRequest } from '../fakes/caller.js';
import type { FakeRequest } from '../fakes/caller.js';

export class Client {
  readonly caller: FakeCaller;
  readonly request: FakeRequest;
  readonly file: IommufdFile;

  constructor(caller = new FakeCaller(), file = new IommufdFile()) {
    this.caller = caller;
    this.request = fakeRequest(caller);
    this.file = file;
  }

  raw(number: number, address: bigint): Promise<number> {
    return this.file.ioctl(this.request, number, address);
  }

  /** Sets `size` by itself. What came back is thrown away when the command fails. */
  async run<F extends Fields>(number: number, layout: Struct<F>, values: Partial<StructValue<Struct<F>>>): Promise<StructValue<Struct<F>>> {
    const data = layout.encode(values);
    abi.iommu_destroy.patch(data, { size: layout.size });
    const address = this.caller.allocate(data);
    await this.raw(number, address);
    return layout.decode(this.caller.read(address, layout.size));
  }

  async ioas(): Promise<number> {
    return (await this.run(abi.IOMMU_IOAS_ALLOC, abi.iommu_ioas_alloc, {})).out_ioas_id;
  }

  async destroy(id: number): Promise<void> {
    await this.run(abi.IOMMU_DESTROY, abi.iommu_destroy, { id });
  }

  async map(ioas_id: number, user_va: bigint, length: bigint, iova: bigint, access = 6): Promise<void> {
    await this.run(abi.IOMMU_IOAS_MAP, abi.iommu_ioas_map, { flags: access | abi.IOMMU_IOAS_MAP_FIXED_IOVA, ioas_id, user_va, length, iova });
  }

  async unmap(ioas_id: number, iova: bigint, length: bigint): Promise<bigint> {
    return (await this.run(abi.IOMMU_IOAS_UNMAP, abi.iommu_ioas_unmap, { ioas_id, iova, length })).length;
  }
}
