/**
 * How a device reaches client memory: an address space (a container's or an IOAS's mappings), and one port for each device.
 *
 * The port is the DmaSpace that a driver gets at open. It outlives attaching: without a space every access is EFAULT, as
 * drivers/vfio/vfio_main.c: vfio_dma_rw() fails for a device that is attached to nothing.
 */
import { Errno, isErrno } from '../abi/errno.js';
import type { DirtyLog } from './dirty-log.js';
import { IovaMap, IOVA_MAX, IOVA_READ, IOVA_WRITE } from './iova-map.js';
import type { IovaMapping } from './iova-map.js';

/** Mappings and the dirty logs that belong to them (type1's), common to all devices attached. */
export class IovaSpace {
  readonly maps = new IovaMap<IovaMapping>();
  readonly logs = new Set<DirtyLog>();
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

  /** Throws EFAULT where not mapped for device writes, and then has written nothing. Marks every touched page dirty. */
  write(iova: bigint, data: Uint8Array): void {
    const parts = this.#parts(iova, data.length, IOVA_WRITE);
    for (const log of [...this.logs, ...this.space?.logs ?? []]) log.mark(iova, BigInt(data.length));
    for (const part of parts) {
      inClient(() => part.map.memory.write(part.vaddr, data.subarray(part.at, part.at + part.length)));
    }
  }

  #parts(iova: bigint, length: number, prot: number): { map: IovaMapping; vaddr: bigint; at: number; length: number }[] {
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
