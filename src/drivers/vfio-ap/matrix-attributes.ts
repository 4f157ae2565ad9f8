/**
 * The attributes of an mdev that say which queues it has. Source: drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_attrs[].
 *
 * A number is decimal, octal or hexadecimal; ENODEV for one that the machine can't have. Assigning what is assigned and taking
 * away what is not are no errors.
 */
import { Errno } from '../../abi/errno.js';
import { cString, kstrtoul } from '../../device/kstrtox.js';
import type { Attribute } from '../../sysfs/attribute.js';
import { ro, rw, wo } from '../../sysfs/attribute.js';
import type { Masks } from './ap-host.js';
import { hex } from './ap-host.js';
import { AP_MASK_BITS, formatMask, NO_BITS, numbersOf, parseHexMask } from './ap-mask.js';
import type { MaskKind, MatrixMdev } from './matrix-mdev.js';

function parseId(mdev: MatrixMdev, kind: MaskKind, data: Uint8Array): number {
  const value = kstrtoul(cString(data));
  const max = kind === 'apm' ? mdev.host.maxAdapter : mdev.host.maxDomain;
  if (value > BigInt(max)) throw new Errno('ENODEV');
  return Number(value);
}

const change = (verb: 'assign' | 'unassign', what: string, kind: MaskKind): Attribute<MatrixMdev> =>
  wo<MatrixMdev>(`${verb}_${what}`, (mdev, data) => mdev[verb](kind, parseId(mdev, kind, data)));

/** vfio_ap_mdev_matrix_show(): all queues; adapters or domains alone while the other side is missing. */
function showMatrix({ apm, aqm }: Masks): string {
  const adapters = numbersOf(apm).map((id) => hex(id, 2));
  const domains = numbersOf(aqm).map((id) => hex(id, 4));
  if (aqm === NO_BITS) return adapters.map((adapter) => `${adapter}.\n`).join('');
  if (apm === NO_BITS) return domains.map((domain) => `.${domain}\n`).join('');
  return adapters.flatMap((adapter) => domains.map((domain) => `${adapter}.${domain}\n`)).join('');
}

/** Characters of one mask in ap_config: 0x, the digits, a separator. What is beyond three of them is not looked at. */
const MASK_LENGTH = AP_MASK_BITS / 4 + 3;

/** Adapters, domains, control domains, between commas or newlines. Throws EINVAL where one is missing or wrong. */
function parseConfig(data: Uint8Array): Masks {
  const [apm, aqm, adm] = cString(data).slice(0, 3 * MASK_LENGTH).split(/[,\n]/);
  if (apm === undefined || aqm === undefined || adm === undefined) throw new Errno('EINVAL');
  return { apm: parseHexMask(apm), aqm: parseHexMask(aqm), adm: parseHexMask(adm) };
}

export const MATRIX_ATTRIBUTES: readonly Attribute<MatrixMdev>[] = [
  change('assign', 'adapter', 'apm'),
  change('unassign', 'adapter', 'apm'),
  change('assign', 'domain', 'aqm'),
  change('unassign', 'domain', 'aqm'),
  change('assign', 'control_domain', 'adm'),
  change('unassign', 'control_domain', 'adm'),
  rw('ap_config',
    ({ matrix: { apm, aqm, adm } }) => `${[apm, aqm, adm].map((mask) => formatMask(mask)).join(',')}\n`,
    (mdev, data) => mdev.configure(parseConfig(data))),
  ro('control_domains', ({ matrix }) => numbersOf(matrix.adm).map((id) => `${hex(id, 4)}\n`).join('')),
  ro('matrix', ({ matrix }) => showMatrix(matrix)),
  ro('guest_matrix', ({ guest }) => showMatrix(guest)),
];
