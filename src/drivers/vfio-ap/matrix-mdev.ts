/**
 * MatrixMdev: the adapters, domains and control domains that one mdev has been given, and what of it a guest gets to see.
 * Sources: drivers/s390/crypto/vfio_ap_ops.c: struct ap_matrix_mdev, the assign_* and unassign_* stores, ap_config_store(),
 * vfio_ap_mdev_validate_masks(), vfio_ap_mdev_filter_matrix(), vfio_ap_mdev_hot_unplug_adapters().
 */
import { Errno } from '../../abi/errno.js';
import type { ApHost, ApQueueState, Masks } from './ap-host.js';
import { apqnName, makeApqn, NO_MASKS, product } from './ap-host.js';
import type { ApMask } from './ap-mask.js';
import { bit, hasBit, NO_BITS, numbersOf, without } from './ap-mask.js';

/** A part of a matrix: adapters, usage domains or control domains. */
export type MaskKind = keyof Masks;

export interface MatrixMdevListener {
  /** A line of the kernel log. */
  log(message: string): void;
  /** A guest that has the mdev is shown another configuration. */
  guestChanged(): void;
}

export class MatrixMdev {
  readonly host: ApHost;
  readonly uuid: string;
  readonly #listener: MatrixMdevListener;
  #matrix = NO_MASKS;
  /** shadow_apcb */
  #guest = NO_MASKS;
  /** Whether a guest has it: while the VFIO device is open. */
  #attached = false;

  /** It counts in the host until it is removed. */
  constructor(host: ApHost, uuid: string, listener: MatrixMdevListener) {
    this.host = host;
    this.uuid = uuid;
    this.#listener = listener;
    host.mdevs.add(this);
  }

  /** What was assigned, there or not. */
  get matrix(): Masks {
    return this.#matrix;
  }
  /** What a guest gets of it: what the machine has, without the adapters of which a queue is not bound to vfio_ap. */
  get guest(): Masks {
    return this.#guest;
  }
  get attached(): boolean {
    return this.#attached;
  }

  hasQueue(apqn: number): boolean {
    return hasBit(this.#matrix.apm, apqn >> 8) && hasBit(this.#matrix.aqm, apqn & 0xff);
  }
  guestHasQueue(apqn: number): boolean {
    return hasBit(this.#guest.apm, apqn >> 8) && hasBit(this.#guest.aqm, apqn & 0xff);
  }
  /** vfio_ap_mdev_get_num_queues() */
  get guestQueueCount(): number {
    return numbersOf(this.#guest.apm).length * numbersOf(this.#guest.aqm).length;
  }
  /** The guest's queues, by APQN. */
  guestQueues(): readonly ApQueueState[] {
    return product(this.#guest.apm, this.#guest.aqm)
      .map((apqn) => this.host.guestQueue(apqn)).filter((queue) => queue !== undefined);
  }

  log(message: string): void {
    this.#listener.log(message);
  }

  /** Throws EADDRNOTAVAIL for a queue that the host keeps, EADDRINUSE for one of another mdev; then nothing has changed. */
  assign(kind: MaskKind, number: number): void {
    if (hasBit(this.#matrix[kind], number)) return;
    const wanted = { ...this.#matrix, [kind]: this.#matrix[kind] | bit(number) };
    if (kind !== 'adm') this.#validate(wanted);
    this.#matrix = wanted;
    const changed = kind === 'adm' ? this.#filterControlDomains() : this.#filter();
    if (changed) this.#updateGuest();
  }

  /** Nothing that was filtered out before comes back by it: that takes the next assignment. */
  unassign(kind: MaskKind, number: number): void {
    if (!hasBit(this.#matrix[kind], number)) return;
    this.#matrix = { ...this.#matrix, [kind]: without(this.#matrix[kind], bit(number)) };
    this.#unplug(kind, bit(number));
  }

  /** ap_config_store(): all or nothing. Throws as assign(); after that ENODEV for numbers beyond the machine's highest. */
  configure(wanted: Masks): void {
    this.#validate(wanted);
    if (this.#overflows(wanted)) throw new Errno('ENODEV');
    const { apm, aqm } = this.#matrix;
    this.#unplug('apm', without(apm, wanted.apm));
    this.#unplug('aqm', without(aqm, wanted.aqm));
    this.#matrix = wanted;
    const filtered = this.#filter();
    if (this.#filterControlDomains() || filtered) this.#updateGuest();
  }

  /** vfio_ap_mdev_probe_queue(): a queue of the matrix has been bound to vfio_ap. */
  queueAdded(): void {
    if (this.#filter()) this.#updateGuest();
  }

  /** vfio_ap_mdev_remove_queue(): the guest loses the whole adapter. */
  queueRemoved(apqn: number): void {
    if (this.guestHasQueue(apqn)) this.#unplug('apm', bit(apqn >> 8));
  }

  attach(): void {
    this.#attached = true;
    this.#updateGuest();
  }

  detach(): void {
    if (this.#attached) this.#listener.guestChanged();
    this.#attached = false;
  }

  /** The mdev goes; its queues are free. */
  remove(): void {
    this.#matrix = NO_MASKS;
    this.#guest = NO_MASKS;
    this.host.mdevs.delete(this);
  }

  #validate({ apm, aqm }: Masks): void {
    if (this.host.isReserved(apm, aqm)) throw new Errno('EADDRNOTAVAIL');
    for (const other of this.host.mdevs) {
      if (other === this) continue;
      const [adapters, domains] = [apm & other.matrix.apm, aqm & other.matrix.aqm];
      if (adapters === NO_BITS || domains === NO_BITS) continue;
      for (const apqn of product(adapters, domains)) {
        this.log(`Userspace may not assign queue ${apqnName(apqn)} to mdev: already assigned to ${other.uuid}`);
      }
      throw new Errno('EADDRINUSE');
    }
  }

  #overflows({ apm, aqm, adm }: Masks): boolean {
    const above = (mask: ApMask, max: number): boolean => numbersOf(mask).some((number) => number > max);
    return above(apm, this.host.maxAdapter) || above(aqm, this.host.maxDomain) || above(adm, this.host.maxDomain);
  }

  /** True where the guest's adapters or domains are others than before. */
  #filter(): boolean {
    const before = this.#guest;
    const { config } = this.host;
    let apm = this.#matrix.apm & config.apm;
    const aqm = this.#matrix.aqm & config.aqm;
    const domains = numbersOf(aqm);
    for (const adapter of numbersOf(apm)) {
      const isComplete = domains.every((domain) => this.host.guestQueue(makeApqn(adapter, domain)) !== undefined);
      if (!isComplete) apm = without(apm, bit(adapter));
    }
    this.#guest = { ...before, apm, aqm };
    return apm !== before.apm || aqm !== before.aqm;
  }

  #filterControlDomains(): boolean {
    const before = this.#guest.adm;
    this.#guest = { ...this.#guest, adm: this.#matrix.adm & this.host.config.adm };
    return this.#guest.adm !== before;
  }

  #unplug(kind: MaskKind, gone: ApMask): void {
    if ((this.#guest[kind] & gone) === NO_BITS) return;
    this.#guest = { ...this.#guest, [kind]: without(this.#guest[kind], gone) };
    this.#updateGuest();
  }

  #updateGuest(): void {
    if (this.#attached) this.#listener.guestChanged();
  }
}
