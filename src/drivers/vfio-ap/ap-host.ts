/**
 * ApHost: the AP configuration of the machine: which adapters, domains and queues there are, which of them the host's own
 * (zcrypt) drivers keep, and which mdevs have been given some of the rest. Knows nothing of sysfs.
 *
 * Sources: drivers/s390/crypto/ap_bus.c: apmask_commit(), aqmask_commit(), ap_bus_revise_bindings(), ap_device_probe().
 */
import { Errno } from '../../abi/errno.js';
import type { ApMask } from './ap-mask.js';
import { ALL_BITS, hasBit, maskOf, NO_BITS, numbersOf, without } from './ap-mask.js';
import type { ApCardType } from './hardware.js';
import { defaultFunctions, hardwareInfo } from './hardware.js';
import type { MatrixMdev } from './matrix-mdev.js';

export interface ApAdapterOptions {
  /** 0 to 255. */
  readonly id: number;
  /** Default CEX8C. */
  readonly type?: ApCardType | undefined;
  /** Upper half of the hardware information; default everything that the type can do. */
  readonly functions?: number | undefined;
}

/** Size and content of the fake AP bus. Defaults are those of the example in the kernel's documentation of vfio-ap. */
export interface ApHostOptions {
  /** Default 4, 5 and 6. */
  readonly adapters?: readonly (number | ApAdapterOptions)[] | undefined;
  /** Usage domains: every adapter has a queue for each. Default 4, 0x47, 0xab and 0xff. */
  readonly domains?: readonly number[] | undefined;
  /** Default: the usage domains. */
  readonly controlDomains?: readonly number[] | undefined;
  /** Highest number an adapter can have; default 255. */
  readonly maxAdapter?: number | undefined;
  /** Highest number a domain can have; default 255. */
  readonly maxDomain?: number | undefined;
  /** Adapters that the host keeps; default all, as without `ap.apmask=` on the kernel's command line. */
  readonly apmask?: ApMask | undefined;
  /** Domains that the host keeps; default all. */
  readonly aqmask?: ApMask | undefined;
}

export interface Masks {
  /** Adapters. */
  readonly apm: ApMask;
  /** Usage domains. */
  readonly aqm: ApMask;
  /** Control domains. */
  readonly adm: ApMask;
}

export const NO_MASKS: Masks = { apm: NO_BITS, aqm: NO_BITS, adm: NO_BITS };

/** Drivers of queues: the one for guests, and the host's. */
export const VFIO_AP_DRIVER = 'vfio_ap';
export const DEFAULT_QUEUE_DRIVER = 'cex4queue';

/** AP_MKQID() */
export function makeApqn(adapter: number, domain: number): number {
  return adapter << 8 | domain;
}
/** `04.0047` */
export function apqnName(apqn: number): string {
  return `${hex(apqn >> 8, 2)}.${hex(apqn & 0xff, 4)}`;
}
export const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

export interface ApAdapter {
  readonly id: number;
  readonly type: ApCardType;
  readonly functions: number;
}

export interface ApQueueState {
  readonly apqn: number;
  readonly adapter: ApAdapter;
  /** ap_tapq_hwinfo.value */
  readonly data: bigint;
  /** Name of the driver it is bound to. */
  driver: string | undefined;
}

export class ApHost {
  readonly maxAdapter: number;
  readonly maxDomain: number;
  readonly adapters: readonly ApAdapter[];
  /** What the machine has: the result of PQAP(QCI). */
  readonly config: Masks;
  /** By APQN. */
  readonly queues: ReadonlyMap<number, ApQueueState>;
  readonly mdevs = new Set<MatrixMdev>();
  /** Told after a queue has changed its driver. */
  queueRebound: ((queue: ApQueueState, before: string | undefined) => void) | undefined;
  /** Told after a mask has changed. */
  maskChanged: ((mask: 'apm' | 'aqm') => void) | undefined;
  #apmask: ApMask;
  #aqmask: ApMask;

  /** Throws RangeError, with a sentence for the user, for numbers that are out of range or given twice. */
  constructor(options: ApHostOptions = {}) {
    this.maxAdapter = checkNumber('maxAdapter', options.maxAdapter ?? 255, 255);
    this.maxDomain = checkNumber('maxDomain', options.maxDomain ?? 255, 255);
    this.adapters = (options.adapters ?? [4, 5, 6]).map((each) => adapter(each));
    const domains = options.domains ?? [0x04, 0x47, 0xab, 0xff].filter((domain) => domain <= this.maxDomain);
    this.config = {
      apm: checkedMask('adapter', this.adapters.map(({ id }) => id), this.maxAdapter),
      aqm: checkedMask('domain', domains, this.maxDomain),
      adm: checkedMask('control domain', options.controlDomains ?? domains, this.maxDomain),
    };
    this.#apmask = options.apmask ?? ALL_BITS;
    this.#aqmask = options.aqmask ?? ALL_BITS;
    this.queues = new Map(this.adapters.flatMap((each) => domains.map((domain) => {
      const apqn = makeApqn(each.id, domain);
      return [apqn, { apqn, adapter: each, data: hardwareInfo(each.type, each.functions), driver: this.#wantedDriver(apqn) }];
    })));
  }

  get apmask(): ApMask {
    return this.#apmask;
  }
  get aqmask(): ApMask {
    return this.#aqmask;
  }

  /** apmask_store(): throws EBUSY where an adapter would be taken from an mdev; then nothing has changed. */
  setApmask(mask: ApMask): void {
    if (mask === this.#apmask) return;
    this.#refuseInUse(without(mask, this.#apmask), this.#aqmask);
    this.#apmask = mask;
    this.#reviseBindings();
    this.maskChanged?.('apm');
  }

  /** aqmask_store(): the same for domains. */
  setAqmask(mask: ApMask): void {
    if (mask === this.#aqmask) return;
    this.#refuseInUse(this.#apmask, without(mask, this.#aqmask));
    this.#aqmask = mask;
    this.#reviseBindings();
    this.maskChanged?.('aqm');
  }

  /** ap_apqn_in_matrix_owned_by_def_drv(): whether any queue of these, there or not, belongs to the host's drivers. */
  isReserved(apm: ApMask, aqm: ApMask): boolean {
    return (apm & this.#apmask) !== NO_BITS && (aqm & this.#aqmask) !== NO_BITS;
  }

  /** The queue if it is there and bound to vfio_ap. */
  guestQueue(apqn: number): ApQueueState | undefined {
    const queue = this.queues.get(apqn);
    return queue?.driver === VFIO_AP_DRIVER ? queue : undefined;
  }

  /** The mdev that the queue is assigned to, there or not. */
  ownerOf(apqn: number): MatrixMdev | undefined {
    for (const mdev of this.mdevs) if (mdev.hasQueue(apqn)) return mdev;
    return undefined;
  }

  /** Binds a queue to another driver or to none, and tells the mdev that it is assigned to. */
  bindQueue(queue: ApQueueState, driver: string | undefined): void {
    const before = queue.driver;
    if (before === driver) return;
    queue.driver = driver;
    if (before === VFIO_AP_DRIVER) this.ownerOf(queue.apqn)?.queueRemoved(queue.apqn);
    if (driver === VFIO_AP_DRIVER) this.ownerOf(queue.apqn)?.queueAdded();
    this.queueRebound?.(queue, before);
  }

  #refuseInUse(apm: ApMask, aqm: ApMask): void {
    for (const mdev of this.mdevs) {
      const [adapters, domains] = [apm & mdev.matrix.apm, aqm & mdev.matrix.aqm];
      if (adapters === NO_BITS || domains === NO_BITS) continue;
      for (const apqn of product(adapters, domains)) {
        mdev.log(`Can not reserve queue ${apqnName(apqn)} for host driver: in use by mdev`);
      }
      throw new Errno('EBUSY');
    }
  }

  #reviseBindings(): void {
    for (const queue of this.queues.values()) this.bindQueue(queue, this.#wantedDriver(queue.apqn));
  }

  #wantedDriver(apqn: number): string {
    const isDefault = hasBit(this.#apmask, apqn >> 8) && hasBit(this.#aqmask, apqn & 0xff);
    return isDefault ? DEFAULT_QUEUE_DRIVER : VFIO_AP_DRIVER;
  }
}

/** APQNs of all adapters with all domains, ascending. */
export function product(apm: ApMask, aqm: ApMask): number[] {
  const domains = numbersOf(aqm);
  return numbersOf(apm).flatMap((id) => domains.map((domain) => makeApqn(id, domain)));
}

function adapter(given: number | ApAdapterOptions): ApAdapter {
  const { id, type = 'CEX8C', functions } = typeof given === 'number' ? { id: given } : given;
  return { id, type, functions: functions ?? defaultFunctions(type) };
}

function checkNumber(what: string, value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) throw new RangeError(`${what} ${value} is not from 0 to ${max}`);
  return value;
}

function checkedMask(what: string, numbers: readonly number[], max: number): ApMask {
  for (const number of numbers) checkNumber(what, number, max);
  const twice = numbers.find((number, at) => numbers.indexOf(number) !== at);
  if (twice !== undefined) throw new RangeError(`${what} ${twice} is there twice`);
  return maskOf(numbers);
}
