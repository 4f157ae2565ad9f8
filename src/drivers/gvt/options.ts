/** Options of the driver as a lab file or a command line has them: words and numbers that were not checked by anybody. */
import type { GvtOptions } from './index.js';
import { isProtocolName, PROTOCOL_NAMES } from './protocols.js';
import { APERTURES } from './types.js';

/** `protocol: v1` and `aperture: 512`. Throws RangeError, with a sentence for the user, for anything else. */
export function parseGvtOptions(given: Readonly<Record<string, unknown>>): GvtOptions {
  const { protocol, aperture, ...rest } = given;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new RangeError(`driver gvt has no option '${unknown}': use protocol, aperture`);
  return {
    ...(protocol === undefined ? {} : { protocol: parseProtocol(protocol) }),
    ...(aperture === undefined ? {} : { aperture: parseAperture(aperture) }),
  };
}

function parseProtocol(value: unknown): NonNullable<GvtOptions['protocol']> {
  if (typeof value === 'string' && isProtocolName(value)) return value;
  throw new RangeError(`protocol of driver gvt is one of ${PROTOCOL_NAMES.join(', ')}, not ${shown(value)}`);
}

function parseAperture(value: unknown): number {
  const found = APERTURES.find((size) => size === value || String(size) === value);
  if (found !== undefined) return found;
  throw new RangeError(`aperture of driver gvt is one of ${APERTURES.join(', ')} (MiB), not ${shown(value)}`);
}

/** Words in single quotes as everywhere; anything else so that it is not taken for a word. */
function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value);
}
