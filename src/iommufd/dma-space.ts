/**
 * How a device reaches client memory: an address space (a container's or an IOAS's mappings), and one port for each device.
 *
 * The port is the DmaSpace that a driver gets at open. It outlives attaching: without a space every access is EFAULT, as
 * drivers/vfio/vfio_main.c: vfio_dma_rw() fails for a device that is attached to nothing.
 */
import { Errno, isErrno } from '../abi/errno.js';
import type { CallerMemory } from '../kernfs/caller.js';
import { DIRTY_PAGE_SIZE } from './dirty-log.js';
import type { DirtyLog } from './dirty-log.js';
import { IovaMap, IOVA_MAX, IOVA_READ, IOVA_WRITE } from './iova-map.js';
import type { IovaMapping } from './iova-map.js';

/** Mappings and the dirty logs that belong to them (type1's), common to all devices attached. */
export class IovaSpace {
  readonly maps = new IovaMap<IovaMapping>();
  readonly logs = new Set<DirtyLog>();
}

const PAGE_SIZE = Number(DIRTY_PAGE_SIZE);

/** Of an access: what lies in one mapping, `at` bytes after its beginning. */
interface Part {
  readonly map: IovaMapping;
  readonly vaddr: bigint;
  readonly at: number;
  readonly length: number;
}

/** One device's access; implements DmaSpace of vfio/device.ts. */
export class DmaPort {
  /** What the device is attached to now. */
  space: IovaSpace | undefined;
  /** Logs of this device alone: its DMA logging, and those of the HWPT that it is attached to. */
  readonly logs = new Set<Pick<DirtyLog, 'mark'>>();

  keepLog(log: Pick<DirtyLog, 'mark'>): () => void {
    this.logs.add(log);
    return () => {
      this.logs.delete(log);
    };
  }

  /** Throws EFAULT where [iova, iova+length) is not mapped for device reads. */
  read(iova: bigint, length: number): Uint8Array {
    const data = new Uint8Array(length);
    for (const part of this.#parts(iova, length, IOVA_READ)) {
      data.set(inClient(() => part.map.memory.read(part.vaddr, part.length)), part.at);
    }
    return data;
  }

  /** As DmaSpace says; where an IOVA is not mapped nothing was written. */
  write(iova: bigint, data: Uint8Array): void {
    this.fill(iova, data.length, data);
  }

  fill(iova: bigint, length: number, pattern: Uint8Array): void {
    for (const part of this.#parts(iova, length, IOVA_WRITE)) {
      for (let done = 0; done < part.length;) {
        const from = (part.at + done) % pattern.length;
        const data = pattern.subarray(from, from + part.length - done);
        this.#put(iova + BigInt(part.at + done), part.map.memory, part.vaddr + BigInt(done), data);
        done += data.length;
      }
    }
  }

  /** Marks exactly what was written: where it fails, the pages in front that may be are found one by one. */
  #put(iova: bigint, memory: CallerMemory, vaddr: bigint, data: Uint8Array): void {
    const toPageEnd = PAGE_SIZE - Number(vaddr % BigInt(PAGE_SIZE));
    try {
      inClient(() => memory.write(vaddr, data));
    } catch (error) {
      if (data.length <= toPageEnd || !isErrno(error, 'EFAULT')) throw error;
      for (let at = 0, end = toPageEnd; at < data.length; at = end, end += PAGE_SIZE) {
        this.#put(iova + BigInt(at), memory, vaddr + BigInt(at), data.subarray(at, end));
      }
      return;
    }
    for (const log of [...this.logs, ...this.space?.logs ?? []]) log.mark(iova, BigInt(data.length));
  }

  #parts(iova: bigint, length: number, prot: number): Part[] {
    if (length === 0) return [];
    const last = iova + BigInt(length) - 1n;
    const maps = iova < 0n || last > IOVA_MAX ? undefined : this.space?.maps.covering(iova, last);
    if (maps === undefined) throw new Errno('EFAULT', 'IOVA not mapped');
    return maps.map((map) => {
      if ((map.prot & prot) === 0) throw new Errno('EFAULT', 'IOVA mapped without that access');
      const from = map.iova > iova ? map.iova : iova;
      const to = map.last < last ? map.last : last;
      return { map, vaddr: map.vaddr + (from - map.iova), at: Number(from - iova), length: Number(to - from) + 1 };
    });
  }
}

/** A client that has gone leaves its mappings without memory: for the device that is a fault like any other. */
function inClient<T>(access: () => T): T {
  try {
    return access();
  } catch (error) {
    if (isErrno(error, 'ESRCH')) throw new Errno('EFAULT', 'the client is gone');
    throw error;
  }
}
