/**
 * Migratable: the attribute `migratable` of the series' first version, with its idea of a migration in progress. Sources, of the
 * series: patches 06, 08 (store and signals), 22 and 23 (the flag and EBUSY).
 *
 * The flag is set by MIG_DATA_SIZE and cleared by a request for STOP in STOP_COPY, as by the blocker policy `observe`; in
 * addition it belongs to the open file of the device: opening begins without it. While the device is closed the driver
 * looks the flag up through a null pointer; what it finds there is taken as clear here.
 */
import { Errno } from '../../abi/errno.js';
import { createPolicy } from '../../blocker/policy.js';
import type { BlockerPolicy } from '../../blocker/policy.js';
import { cString } from '../../device/kstrtox.js';
import { rw } from '../../sysfs/attribute.js';
import type { Attribute } from '../../sysfs/attribute.js';
import type { MigrationHooks, MigrationWalk } from '../../vfio/migration-hooks.js';

/** VFIO_AP_DEVICE_MIGRATABLE_DEFAULT */
const MIGRATABLE_DEFAULT = false;

export class Migratable implements MigrationHooks {
  readonly #signal: (migratable: boolean) => void;
  #value = MIGRATABLE_DEFAULT;
  #policy: BlockerPolicy = createPolicy('observe');

  /** `signal` is called after the value has changed. */
  constructor(signal: (migratable: boolean) => void) {
    this.#signal = signal;
  }

  get value(): boolean {
    return this.#value;
  }

  /** migratable_store(): throws EBUSY for "no longer" while the flag is set. The value that it has already does nothing. */
  set(value: boolean): void {
    if (value === this.#value) return;
    if (!value && this.#policy.running) throw new Errno('EBUSY');
    this.#value = value;
    this.#signal(value);
  }

  /** The device was opened or closed for the last time. */
  restart(): void {
    this.#policy = createPolicy('observe');
  }

  dataSizeQueried(): void {
    this.#policy.tell({ type: 'data-size' });
  }

  completed({ from, to }: MigrationWalk): void {
    this.#policy.tell({ type: 'request', from, to });
  }
}

const INT_MAX = 0x7fff_ffffn;

/** kstrtoint() with base 10, then 0 or 1. Throws EINVAL, ERANGE for what is no int. */
function parseFlag(data: Uint8Array): boolean {
  const [, sign = '', digits] = /^([+-]?)([0-9]+)\n?$/.exec(cString(data)) ?? [];
  if (digits === undefined) throw new Errno('EINVAL');
  const value = BigInt(sign === '-' ? `-${digits}` : digits);
  if (value > INT_MAX || value < -INT_MAX - 1n) throw new Errno('ERANGE');
  if (value !== 0n && value !== 1n) throw new Errno('EINVAL');
  return value === 1n;
}

export const MIGRATABLE: Attribute<Migratable> = rw('migratable',
  (migratable) => (migratable.value ? '1\n' : '0\n'),
  (migratable, data) => migratable.set(parseFlag(data)));
