/**
 * The queue of I/O page faults. No device of the lab pages, so it stays empty: it exists because the uAPI lets a client make
 * one. Source: drivers/iommu/iommufd/fault.c.
 */
import { Errno } from '../abi/errno.js';
import type { FileRequest, OpenFile } from '../kernfs/file.js';
import type { IommufdContext } from './context.js';
import { IommufdObject } from './objects.js';

export class FaultQueue extends IommufdObject {
  override destroy(): void {
    // It holds nothing.
  }
}

/** The descriptor of a queue; holds the queue and the context. */
export class FaultQueueFile implements OpenFile {
  readonly kind = 'iommufd-fault';
  readonly #queue: FaultQueue;
  readonly #context: IommufdContext;

  constructor(queue: FaultQueue, context: IommufdContext) {
    this.#queue = queue;
    this.#context = context;
    queue.users++;
    context.hold();
  }

  read(): Uint8Array {
    return new Uint8Array(0);
  }

  write(_request: FileRequest, _offset: number, data: Uint8Array): number {
    if (data.length === 0) return 0;
    throw new Errno('EINVAL', 'no fault has that cookie');
  }

  poll(): number {
    return 0;
  }

  release(): void {
    this.#queue.users--;
    this.#context.drop();
  }
}
