/**
 * The addresses that a host and a port stand for. Source: QEMU's util/qemu-sockets.c: inet_ai_family_from_address(),
 * inet_parse_connect_saddr(), inet_listen_saddr(); io/dns-resolver.c: qio_dns_resolver_lookup_sync_inet().
 */
import { ADDRCONFIG, V4MAPPED } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { describe } from './address.js';
import type { InetAddress } from './address.js';

type Family = 0 | 4 | 6;

const UNKNOWN_NAME = 'Name or service not known';
const OTHER_FAMILY = 'Address family for hostname not supported';

function familyOf({ host, ipv4, ipv6 }: InetAddress): Family {
  if (ipv4 === false && ipv6 === false) throw new Error('Cannot disable IPv4 and IPv6 at same time');
  if (ipv4 === true && ipv6 === true) return host === '' ? 6 : 0;
  if (ipv6 === true || ipv4 === false) return 6;
  return ipv4 === true || ipv6 === false ? 4 : 0;
}

const unresolvable = (address: InetAddress, why: string): Error => new Error(`address resolution failed for ${describe(address)}: ${why}`);

/** The first port. By number only, which is cut to size as strtoul(), (int) and htons() do it. Throws Error with QEMU's text. */
export function portOf(address: InetAddress): number {
  const digits = /^\s*\+?(\d+)$/.exec(address.port)?.[1];
  const number = digits === undefined || BigInt(digits) >> 64n !== 0n ? -1 : Number(BigInt.asIntN(32, BigInt(digits)));
  if (number < 0) throw unresolvable(address, 'Servname not supported for ai_socktype');
  return number & 0xffff;
}

/** At least one, in the order in which they are tried. Rejects with an Error of QEMU's text. */
async function find(address: InetAddress, family: Family, hints: number): Promise<readonly string[]> {
  try {
    return (await lookup(address.host, { family, hints, all: true, verbatim: true })).map((found) => found.address);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw unresolvable(address, code === 'ENOTFOUND' || code === 'EAI_AGAIN' ? UNKNOWN_NAME : message);
  }
}

/** Whom to call. An IPv4 address is an IPv6 one as well. */
export async function peers(address: InetAddress): Promise<readonly string[]> {
  const { host } = address;
  const family = familyOf(address);
  if (host === '') throw unresolvable(address, UNKNOWN_NAME);
  const version = isIP(host);
  if (version === 6 && family === 4) throw unresolvable(address, OTHER_FAMILY);
  if (version === 4 && family === 6) return [`::ffff:${host}`];
  return version === 0 ? find(address, family, V4MAPPED | ADDRCONFIG) : [host];
}

/** Where to listen: on all of them, as far as it can be done. */
export async function interfaces(address: InetAddress): Promise<readonly string[]> {
  const { host } = address;
  const family = familyOf(address);
  if (host === '') return [...(family === 6 ? [] : ['0.0.0.0']), ...(family === 4 ? [] : ['::'])];
  const version = isIP(host);
  if (version !== 0 && family !== 0 && version !== family) throw unresolvable(address, OTHER_FAMILY);
  return version === 0 ? find(address, family, 0) : [host];
}
