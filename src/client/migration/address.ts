/**
 * Where to: `unix:PATH`, `tcp:HOST:PORT[,OPTIONS]`, `tcp:[ADDRESS]:PORT[,OPTIONS]`, `fd:N`, or the member `addr` of a channel.
 * Source: QEMU's migration/migration.c: migrate_uri_parse(), util/qemu-sockets.c: inet_parse(), inet_parse_flag().
 */
import type { Json } from '../qmp/json-parser.js';
import { QmpError } from '../qmp/error.js';

export interface InetAddress {
  readonly type: 'inet';
  readonly host: string;
  readonly port: string;
  /** The last port to try, for what comes in. */
  readonly to?: number;
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
  readonly 'keep-alive'?: boolean;
}

export type MigrationAddress =
  | { readonly type: 'unix'; readonly path: string }
  | InetAddress
  /** A connected socket: one that a client has passed, or, for what comes in, by number, that this process has inherited. */
  | { readonly type: 'fd'; readonly name: string };

/** Throws QmpError with QEMU's text. */
export function parseUri(uri: string): MigrationAddress {
  if (uri.startsWith('unix:')) {
    const path = uri.slice('unix:'.length);
    if (path === '') throw new QmpError('invalid Unix socket address');
    return { type: 'unix', path };
  }
  if (uri.startsWith('fd:')) {
    const name = uri.slice('fd:'.length);
    if (name === '') throw new QmpError('invalid file descriptor address');
    return { type: 'fd', name };
  }
  if (uri.startsWith('tcp:')) return parseInet(uri.slice('tcp:'.length));
  throw new QmpError(`unknown migration protocol: ${uri}`);
}

function parseInet(text: string): InetAddress {
  const bracketed = text.startsWith('[');
  const match = (bracketed ? /^\[([^\]]{1,64})\]:([^,]{1,32})(.*)$/s : /^([^:]{0,64}):([^,]{1,32})(.*)$/s).exec(text);
  if (match === null) throw new QmpError(`error parsing ${bracketed ? 'IPv6 ' : ''}address '${text}'`);
  const [, host = '', port = '', options = ''] = match;
  const to = /,to=(.*)/s.exec(options)?.[1];
  return {
    type: 'inet', host, port, ...(to === undefined ? {} : { to: parseLastPort(to) }), ...parseFlag('ipv4', options),
    ...parseFlag('ipv6', options), ...parseFlag('keep-alive', options), ...parseFlag('mptcp', options),
  };
}

function parseLastPort(text: string): number {
  const number = /^\s*([+-]?\d+)(?:,|$)/.exec(text)?.[1];
  if (number === undefined) throw new QmpError('error parsing to= argument');
  return Number(number);
}

/** The first of that name counts; what is none of the known ones is not looked at. */
function parseFlag(name: string, options: string): Record<string, boolean> {
  const at = options.indexOf(`,${name}`);
  if (at < 0) return {};
  const rest = options.slice(at + 1 + name.length);
  const value = /^(?:=on|=off|)(?=$|,(?!,))/.exec(rest)?.[0];
  if (value === undefined) throw new QmpError(`error parsing '${name}' flag '${rest}'`);
  return { [name]: value !== '=off' };
}

/** A MigrationChannel, checked by its schema. */
export function parseChannel(channel: Json): MigrationAddress {
  const { addr } = channel as { addr: InetAddress | { type: 'unix'; path: string } | { type: 'fd'; str: string } };
  return addr.type === 'fd' ? { type: 'fd', name: addr.str } : addr;
}

/** As messages name it. */
export const describe = (address: MigrationAddress): string =>
  address.type === 'unix' ? address.path : address.type === 'fd' ? address.name : `${address.host}:${address.port}`;
