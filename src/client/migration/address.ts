/**
 * Where to: `unix:PATH`, `tcp:HOST:PORT`, `tcp:[ADDRESS]:PORT`, `fd:N`, or the member `addr` of a channel. Source: QEMU's
 * migration/migration.c: migrate_uri_parse(), util/qemu-sockets.c: inet_parse().
 */
import { existsSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { dirname } from 'node:path';
import { ERRNO } from '../../abi/errno.js';
import { Fd } from '../../sys/fd.js';
import { checkSocketPath, isStreamSocket, openStreamSockets, removeSocketFile, takeSocket } from '../../sys/socket.js';
import { strerror } from '../../sys/strerror.js';
import type { Json } from '../qmp/json-parser.js';
import type { NamedDescriptors } from '../qmp/descriptors.js';
import { QmpError } from '../qmp/error.js';
import { errorText } from './error-text.js';

export type MigrationAddress =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'inet'; readonly host: string; readonly port: string }
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

function parseInet(text: string): MigrationAddress {
  const bracketed = text.startsWith('[');
  const match = (bracketed ? /^\[([^\]]+)\]:(.{1,32})$/ : /^([^:]*):(.{1,32})$/).exec(text);
  if (match === null) throw new QmpError(`error parsing ${bracketed ? 'IPv6 ' : ''}address '${text}'`);
  return { type: 'inet', host: match[1] ?? '', port: match[2] ?? '' };
}

/** A MigrationChannel, checked by its schema. */
export function parseChannel(channel: Json): MigrationAddress {
  const { addr } = channel as { addr: { type: 'inet' | 'unix' | 'fd'; host: string; port: string; path: string; str: string } };
  const { type, host, port, path, str } = addr;
  return type === 'unix' ? { type, path } : type === 'inet' ? { type, host, port } : { type, name: str };
}

const describe = (address: MigrationAddress): string =>
  address.type === 'unix' ? address.path : address.type === 'fd' ? address.name : `${address.host}:${address.port}`;

/** A port is taken modulo 65536, as C's htons(atoi()) does in QEMU. */
function portNumber(port: string): number | undefined {
  return /^\d+$/.test(port) ? Number(port) % 65536 : undefined;
}

function unresolvable({ host, port }: { host: string; port: string }): string | undefined {
  if (host === '') return `address resolution failed for ${host}:${port}: Name or service not known`;
  if (portNumber(port) === undefined) {
    return `address resolution failed for ${host}:${port}: Servname not supported for ai_socktype`;
  }
  return undefined;
}

/** Sockets that the process was started with, by number. Each is given once. */
export class InheritedSockets {
  readonly #numbers: Set<number>;

  /** What is open now: before this process has opened sockets of its own. */
  constructor() {
    this.#numbers = new Set(openStreamSockets());
  }

  take(name: string): Fd | undefined {
    const fd = Number(name);
    return /^\d+$/.test(name) && this.#numbers.delete(fd) && isStreamSocket(fd) ? new Fd(fd) : undefined;
  }
}

/** The socket of `fd:`, the caller's from now on, out of one of `sources`. Throws QmpError: in QEMU this fails at once. */
export function namedSocket(name: string, ...sources: readonly (Pick<NamedDescriptors, 'take'> | undefined)[]): Fd {
  for (const source of sources) {
    const found = source?.take(name);
    if (found === undefined) continue;
    if (isStreamSocket(found.fd)) return found;
    found.close();
    throw new QmpError(`File descriptor named '${name}' is not a stream socket`);
  }
  throw new QmpError(`File descriptor named '${name}' has not been found`);
}

/** Rejects with an Error of QEMU's text. `signal` gives up. */
export function connect(address: Exclude<MigrationAddress, { type: 'fd' }>, signal: AbortSignal): Promise<Fd> {
  return new Promise((resolve, reject) => {
    const hopeless = address.type === 'inet' ? unresolvable(address) : undefined;
    if (hopeless !== undefined) return reject(new Error(hopeless));
    if (address.type === 'unix') checkSocketPath(address.path);
    if (signal.aborted) return reject(new Error('canceled'));
    const socket = address.type === 'unix' ? createConnection({ path: address.path })
      : createConnection({ host: address.host, port: portNumber(address.port) ?? 0 });
    const give = (): void => {
      socket.destroy();
      reject(new Error('canceled'));
    };
    signal.addEventListener('abort', give, { once: true });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      signal.removeEventListener('abort', give);
      const name = error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN';
      reject(new Error(name ? `address resolution failed for ${describe(address)}: Name or service not known`
        : `Failed to connect to '${describe(address)}': ${errorText(error)}`));
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', give);
      socket.removeAllListeners('error').setNoDelay(true);
      const taken = takeSocket(socket);
      if (taken !== undefined) resolve(taken);
      else reject(new Error(`Failed to connect to '${describe(address)}': ${strerror(ERRNO.ENOTCONN)}`));
    });
  });
}

/** `socket-address` of query-migrate. */
export type SocketAddress = { readonly type: 'unix'; readonly path: string }
  | { readonly port: string; readonly host: string; readonly type: 'inet' };

/** Why a UNIX socket could not be made. libuv says EACCES where the directory does not exist. */
export function bindFailure(path: string, error: NodeJS.ErrnoException): string {
  const missing = error.code === 'EACCES' && !existsSync(dirname(path));
  return `Failed to bind socket to ${path}: ${missing ? strerror(ERRNO.ENOENT) : errorText(error)}`;
}

/** Hands the first connection over, and listens no more then, or when `signal` says so. Rejects with an Error of QEMU's text. */
export function listen(
  address: Exclude<MigrationAddress, { type: 'fd' }>, accept: (socket: Fd) => void, signal: AbortSignal,
): Promise<SocketAddress> {
  return new Promise((resolve, reject) => {
    const hopeless = address.type === 'inet' && address.host !== '' ? unresolvable(address) : undefined;
    if (hopeless !== undefined) return reject(new Error(hopeless));
    if (address.type === 'unix') {
      checkSocketPath(address.path);
      removeSocketFile(address.path);
    }
    let taken = false;
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
      const fd = takeSocket(socket);
      if (taken || fd === undefined) return fd?.close();
      taken = true;
      server.close();
      accept(fd);
    });
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(address.type === 'unix' ? bindFailure(address.path, error)
        : `Failed to bind socket: ${errorText(error)}`));
    });
    const where = address.type === 'unix' ? { path: address.path }
      : { host: address.host === '' ? '0.0.0.0' : address.host, port: portNumber(address.port) ?? 0 };
    server.listen({ ...where, signal }, () => {
      const bound = server.address();
      resolve(typeof bound === 'object' && bound !== null ? { port: String(bound.port), host: bound.address, type: 'inet' }
        : { path: bound ?? '', type: 'unix' });
    });
  });
}
