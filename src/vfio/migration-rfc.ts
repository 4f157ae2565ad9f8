/**
 * RfcMigration: the migration proposed in 2017 and 2018, as another face of the MigrationMachine. It knows two states only,
 * started and stopped, and a region with the image of the device's state, which has room for the largest one.
 *
 *   stop    STOP_COPY: a stop may be a pause or the end of a migration, and nothing tells which, so it counts as the latter.
 *           Where that is refused (policy `enforce`, a blocked device) the device is stopped all the same, STOP, but not saved.
 *   read    of the image, in order from its first byte on: what STOP_COPY saved. From STOP it tries STOP_COPY again.
 *   write   the first byte begins RESUMING, whatever the device was doing; the rest follows in order.
 *   start   RUNNING; from RESUMING with what was written.
 *
 * A transition that fails leaves the device where it was, or in ERROR, which only a reset leaves.
 *
 * The last close starts a device that is stopped: the proposal has no other word for the end of a migration on its source.
 * Source: drivers/gpu/drm/i915/gvt/kvmgt.c of 2018: intel_vgpu_reg_rw_device_state(), intel_vgpu_open(); migrate.c: vgpu_save().
 */
import { Errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_STATE_ERROR, VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY,
} from '../abi/vfio.js';
import { GVT_MIGRATION_HEAD, gvt_image_header } from '../abi/vfio-rfc.js';
import type { FileRequest } from '../kernfs/file.js';
import { ResumingFile, SavingFile } from './migration-file.js';
import { TransitionRefusal } from './migration-hooks.js';
import type { MigrationMachine } from './migration.js';

const HEADER = gvt_image_header.size;
/** What `size` in the header counts: what comes after type and size. */
const HEADER_PAYLOAD = HEADER - gvt_image_header.offsetofend('size');

/** Where in the image somebody is, and the data file behind it. */
interface Saving {
  readonly file: SavingFile;
  readonly header: Uint8Array;
  /** Bytes of the image that are in use. */
  readonly used: number;
  position: number;
}
interface Loading {
  readonly file: ResumingFile;
  readonly header: Uint8Array;
  /** Known when the header is there. */
  used: number | undefined;
  position: number;
}

export class RfcMigration {
  readonly #machine: MigrationMachine;
  #saving: Saving | undefined;
  #loading: Loading | undefined;

  constructor(machine: MigrationMachine) {
    this.#machine = machine;
  }

  get stopped(): boolean {
    const state = this.#machine.getState();
    return state !== VFIO_DEVICE_STATE_RUNNING && state !== VFIO_DEVICE_STATE_RUNNING_P2P;
  }

  /** Bytes of the largest image. */
  get imageSize(): number {
    return HEADER + this.#machine.largestStream;
  }

  /** Throws the errno of a transition. */
  async start(request: FileRequest): Promise<void> {
    await this.#machine.setStateOrReturn(request, VFIO_DEVICE_STATE_RUNNING);
  }

  /** Throws the errno of a transition. */
  async stop(request: FileRequest): Promise<void> {
    try {
      await this.#save(request);
    } catch (error) {
      if (!(error instanceof TransitionRefusal)) throw error;
      await this.#machine.setStateOrReturn(request, VFIO_DEVICE_STATE_STOP);
    }
  }

  /** Throws EINVAL while the device is started, and for another place than the next one; EBUSY where it may not be saved. */
  async read(request: FileRequest, position: number, size: number): Promise<Uint8Array> {
    if (!this.stopped || this.#machine.getState() === VFIO_DEVICE_STATE_RESUMING) throw new Errno('EINVAL', 'not stopped');
    if (position === 0 && this.#saving !== undefined && this.#saving.position > 0) {
      await this.#machine.setStateOrReturn(request, VFIO_DEVICE_STATE_STOP);
    }
    await this.#save(request);
    const saving = this.#saving;
    if (saving?.position !== position) throw new Errno('EINVAL', 'not the next byte');
    const data = readImage(saving, request, size);
    saving.position += data.length;
    return data;
  }

  /** Throws EINVAL for another place than the next one and a header that makes no sense, and what the stream is refused with. */
  async write(request: FileRequest, position: number, data: Uint8Array): Promise<void> {
    if (position === 0) await this.#load(request);
    const loading = this.#loading;
    if (this.#machine.getState() !== VFIO_DEVICE_STATE_RESUMING || loading?.position !== position) {
      throw new Errno('EINVAL', 'not the next byte');
    }
    writeImage(loading, request, data, this.imageSize);
    loading.position += data.length;
  }

  /** Last close of the device, when the driver has closed the machine. */
  close(): void {
    if (this.stopped && this.#machine.getState() !== VFIO_DEVICE_STATE_ERROR) this.#machine.reset();
  }

  async #save(request: FileRequest): Promise<void> {
    await this.#machine.setStateOrReturn(request, VFIO_DEVICE_STATE_STOP_COPY);
    const file = this.#machine.dataFile;
    if (!(file instanceof SavingFile) || file === this.#saving?.file) return;
    const used = file.source.remaining;
    const header = gvt_image_header.encode({ type: GVT_MIGRATION_HEAD, size: HEADER_PAYLOAD, data_size: BigInt(used) });
    this.#saving = { file, header, used: HEADER + used, position: 0 };
  }

  /** From the start, also where something was written already: that is forgotten. */
  async #load(request: FileRequest): Promise<void> {
    if (this.#machine.getState() === VFIO_DEVICE_STATE_RESUMING) this.#machine.reset(VFIO_DEVICE_STATE_STOP);
    const file = await this.#machine.setStateOrReturn(request, VFIO_DEVICE_STATE_RESUMING);
    if (file instanceof ResumingFile) this.#loading = { file, header: new Uint8Array(HEADER), used: undefined, position: 0 };
  }
}

/** Header, state, zeros; fewer bytes than `size` only before one that can't be read, and where a state ends early. */
function readImage({ file, header, used, position }: Saving, request: FileRequest, size: number): Uint8Array {
  const parts: Uint8Array[] = [header.subarray(position, position + size)];
  let left = size - (parts[0]?.length ?? 0);
  let state = Math.min(left, used - Math.max(position, HEADER));
  while (state > 0) {
    let data: Uint8Array;
    try {
      data = file.read(request, 0, state);
    } catch (error) {
      if (left === size) throw error;
      return Buffer.concat(parts);
    }
    if (data.length === 0) return Buffer.concat(parts);
    if (data.length === size) return data;
    parts.push(data);
    state -= data.length;
    left -= data.length;
  }
  return left === size ? new Uint8Array(size) : Buffer.concat([...parts, new Uint8Array(left)]);
}

/** What lies beyond the bytes in use is taken, and dropped. */
function writeImage(loading: Loading, request: FileRequest, data: Uint8Array, imageSize: number): void {
  const { file, header, position } = loading;
  const head = data.subarray(0, Math.max(0, HEADER - position));
  header.set(head, Math.min(position, HEADER));
  if (position + data.length < HEADER) return;
  loading.used ??= usedOf(header, imageSize);
  const at = position + head.length;
  const state = data.subarray(head.length, head.length + Math.max(0, loading.used - at));
  if (state.length > 0) file.write(request, 0, state);
}

/** Throws EINVAL. */
function usedOf(header: Uint8Array, imageSize: number): number {
  const { type, size, data_size: used } = gvt_image_header.decode(header);
  if (type !== GVT_MIGRATION_HEAD || size !== HEADER_PAYLOAD || used > BigInt(imageSize - HEADER)) {
    throw new Errno('EINVAL', 'not an image');
  }
  return HEADER + Number(used);
}
