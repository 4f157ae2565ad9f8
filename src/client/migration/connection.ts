/** Connected sockets, from an address. Source: QEMU's util/qemu-sockets.c: inet_connect_saddr(), inet_listen_saddr(); io/net-listener.c. */
import { existsSync } from 'node:fs';
import { createConnection, createServer, isIPv6 } from 'node:net';
import type { ListenOptions, NetConnectOpts, Server } from 'node:net';
import { dirname } from 'node:path';
import { ERRNO } from '../../abi/errno.js';
import { Fd } from '../../sys/fd.js';
import { checkSocketPath, isStreamSocket, openStreamSockets, removeSocketFile, takeSocket } from '../../sys/socket.js';
import { strerror } from '../../sys/strerror.js';
import type { NamedDescriptors } from '../qmp/descriptors.js';
import { QmpError } from '../qmp/error.js';
import { describe } from './address.js';
import type { InetAddress, MigrationAddress } from './address.js';
import { errorText } from './error-text.js';
import { interfaces, peers, portOf } from './resolve.js';

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

type Reachable = Exclude<MigrationAddress, { type: 'fd' }>;

/** Rejects with an Error of QEMU's text. `signal` gives up. */
export async function connect(address: Reachable, signal: AbortSignal): Promise<Fd> {
  if (address.type === 'unix') {
    checkSocketPath(address.path);
    return connectTo({ path: address.path }, describe(address), signal);
  }
  const port = portOf(address);
  let failure: unknown;
  for (const host of await peers(address)) {
    try {
      return await connectTo({ host, port, keepAlive: address['keep-alive'] === true }, describe(address), signal);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function connectTo(to: NetConnectOpts, name: string, signal: AbortSignal): Promise<Fd> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Error('canceled'));
    const socket = createConnection(to);
    const give = (): void => {
      socket.destroy();
      reject(new Error('canceled'));
    };
    signal.addEventListener('abort', give, { once: true });
    socket.once('error', (error) => {
      signal.removeEventListener('abort', give);
      reject(new Error(`Failed to connect to '${name}': ${errorText(error)}`));
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', give);
      socket.removeAllListeners('error').setNoDelay(true);
      const taken = takeSocket(socket);
      if (taken !== undefined) resolve(taken);
      else reject(new Error(`Failed to connect to '${name}': ${strerror(ERRNO.ENOTCONN)}`));
    });
  });
}

/** `socket-address` of query-migrate. */
export type SocketAddress = { readonly type: 'unix'; readonly path: string }
  | { readonly port: string; readonly host: string; readonly type: 'inet'; readonly ipv4?: true; readonly ipv6?: true };

/** Why a UNIX socket could not be made. libuv says EACCES where the directory does not exist. */
export function bindFailure(path: string, error: NodeJS.ErrnoException): string {
  const missing = error.code === 'EACCES' && !existsSync(dirname(path));
  return `Failed to bind socket to ${path}: ${missing ? strerror(ERRNO.ENOENT) : errorText(error)}`;
}

/** Hands the first connection over, and listens no more then, or when `signal` says so. Rejects with an Error of QEMU's text. */
export async function listen(address: Reachable, accept: (socket: Fd) => void, signal: AbortSignal): Promise<readonly SocketAddress[]> {
  const servers: Server[] = [];
  let taken = false;
  const open = async (where: ListenOptions): Promise<Server> => {
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
      const fd = takeSocket(socket);
      if (taken || fd === undefined) return fd?.close();
      taken = true;
      for (const each of servers) each.close();
      accept(fd);
    });
    await new Promise<void>((resolve, reject) => void server.once('error', reject).listen({ ...where, signal }, resolve));
    // Where somebody has come to another one in the meantime.
    if (taken) server.close();
    servers.push(server);
    return server;
  };
  if (address.type === 'inet') return listenInet(address, open);
  checkSocketPath(address.path);
  removeSocketFile(address.path);
  await open({ path: address.path }).catch((error: unknown) => {
    throw new Error(bindFailure(address.path, error as NodeJS.ErrnoException));
  });
  return [{ path: address.path, type: 'unix' }];
}

/** On every interface that the address stands for; it is enough where one of them can be had. */
async function listenInet(address: InetAddress, open: (where: ListenOptions) => Promise<Server>): Promise<SocketAddress[]> {
  const first = portOf(address);
  const bound: SocketAddress[] = [];
  let failure: unknown;
  for (const host of await interfaces(address)) {
    try {
      const where = (await openFree(host, first, address, open)).address();
      if (typeof where !== 'object' || where === null) continue;
      const family = where.family === 'IPv6' ? { ipv6: true } as const : { ipv4: true } as const;
      bound.unshift({ port: String(where.port), ...family, host: where.address, type: 'inet' });
    } catch (error) {
      failure ??= error;
    }
  }
  if (bound.length === 0) throw failure;
  return bound;
}

/** At the first free port. try_bind(): `::` is for IPv4 too, unless only one family is wanted, or somebody has the port there. */
async function openFree(host: string, first: number, address: InetAddress, open: (where: ListenOptions) => Promise<Server>): Promise<Server> {
  const { ipv4, ipv6, to } = address;
  const last = to === undefined ? first : to & 0xffff;
  const both = ipv4 === ipv6 && ipv4 !== false;
  for (let port = first; port <= last; port++) {
    for (const ipv6Only of both && isIPv6(host) ? [false, true] : [true]) {
      try {
        return await open({ host, port, ipv6Only });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw new Error(`Failed to bind socket: ${errorText(error)}`, { cause: error });
      }
    }
  }
  if (last < first) throw new Error(`Failed to create a socket: ${strerror(ERRNO.ENOTCONN)}`);
  throw new Error(`Failed to find an available port: ${strerror(ERRNO.EADDRINUSE)}`);
}
