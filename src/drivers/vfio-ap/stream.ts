/**
 * The migration stream of a vfio_ap device: how many queues the guest has, then for each its number and what its hardware can do.
 * Nothing is restored from it: it serves to refuse a destination whose configuration is another one.
 *
 * Sources, of the series: struct vfio_ap_config, patch 13 (saving), patch 16 (vfio_ap_resume_write() and its checks).
 */
import { Errno } from '../../abi/errno.js';
import type { StateLoader } from '../../vfio/migration-loader.js';
import { apqnName } from './ap-host.js';
import { canReplace } from './hardware.js';
import type { MatrixMdev } from './matrix-mdev.js';
import { vfio_ap_config, vfio_ap_queue_info } from '../../abi/vfio-ap.js';

/** Bytes for that many queues. */
export function configSize(queues: number): number {
  return vfio_ap_config.size + queues * vfio_ap_queue_info.size;
}

export function encodeHeader(mdev: MatrixMdev): Uint8Array {
  return vfio_ap_config.encode({ num_queues: mdev.guestQueueCount });
}

/** The whole stream. A queue that is gone leaves its place at the end, empty. */
export function encodeConfig(mdev: MatrixMdev): Uint8Array {
  const stream = new Uint8Array(configSize(mdev.guestQueueCount));
  stream.set(encodeHeader(mdev));
  mdev.guestQueues().forEach(({ apqn, data }, n) => vfio_ap_queue_info.patch(stream, { apqn, data }, configSize(n)));
  return stream;
}

/** vfio_ap_validate_num_queues(): ENODEV where the mdev has more queues than the source had, E2BIG where it has less. */
export function checkQueueCount(mdev: MatrixMdev, stream: Uint8Array): void {
  const source = vfio_ap_config.decode(stream).num_queues;
  const target = mdev.guestQueueCount;
  if (source === target) return;
  mdev.log(`migration failed: number of queues on source (${source}) and target (${target}) guests differ`);
  throw new Errno(target > source ? 'ENODEV' : 'E2BIG');
}

/**
 * apqns_match(), matrixes_compatible(): ENODEV where the guest has not one of the queues, EFAULT where one of them can't do what
 * the source's could. `stream` is complete.
 */
export function checkQueues(mdev: MatrixMdev, stream: Uint8Array): void {
  const queues = Array.from({ length: vfio_ap_config.decode(stream).num_queues },
    (_, n) => vfio_ap_queue_info.decode(stream, configSize(n)));
  const missing = queues.filter(({ apqn }) => !mdev.guestHasQueue(apqn));
  for (const { apqn } of missing) mdev.log(`migration failed: queue ${apqnName(apqn)} not assigned to guest matrix`);
  if (missing.length > 0) throw new Errno('ENODEV');
  for (const { apqn, data } of queues) {
    const target = mdev.host.guestQueue(apqn);
    if (target !== undefined && canReplace(data, target.data)) continue;
    mdev.log(`Migration failed: Source and target queue (${apqnName(apqn)}) not compatible`);
    throw new Errno('EFAULT');
  }
}

/**
 * The first version's vfio_ap_resume_write(), with what is wrong with it: bytes that are refused count as written, and leaving
 * RESUMING asks neither whether all of them came nor whether they were refused.
 */
export class ResumingConfig implements StateLoader {
  position = 0;
  readonly #mdev: MatrixMdev;
  readonly #stream: Uint8Array;

  /** Room is for as many queues as the mdev has now. */
  constructor(mdev: MatrixMdev) {
    this.#mdev = mdev;
    this.#stream = encodeHeaderOnly(mdev);
  }

  /** Throws EIO for more than there is room for, then as the checks above. */
  write(data: Uint8Array): number {
    const mdev = this.#mdev;
    const end = this.position + data.length;
    if (end > this.#stream.length) {
      mdev.log(`migration failed: source guest's AP config size (${end}) larger than target's (${this.#stream.length})`);
      throw new Errno('EIO');
    }
    this.#stream.set(data, this.position);
    this.position = end;
    if (end >= vfio_ap_config.offsetofend('num_queues')) checkQueueCount(mdev, this.#stream);
    if (end === this.#stream.length) checkQueues(mdev, this.#stream);
    return data.length;
  }

  finish(): Uint8Array {
    return this.#stream;
  }
}

/** The driver's buffer before anything was written: it knows the number of queues already. */
function encodeHeaderOnly(mdev: MatrixMdev): Uint8Array {
  const stream = new Uint8Array(configSize(mdev.guestQueueCount));
  stream.set(encodeHeader(mdev));
  return stream;
}
