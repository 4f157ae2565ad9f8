/**
 * The QMP server: a UNIX socket, any number of clients, one command at a time over all of them.
 *
 * Requests of all clients go through the `MainLoop` that the VM's own event sources use too, so that the order in which a
 * command and, say, a blocker's eventfd are handled is the order in which they were dispatched, as on QEMU's main thread.
 * A client that vanishes, sends garbage or does not read loses its own connection, nobody else's.
 */
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import type { Fd } from '../../sys/fd.js';
import { takeSocket } from '../../sys/socket.js';
import { QmpConnection } from './connection.js';
import { NamedDescriptors } from './descriptors.js';
import type { QmpCommand, QmpCommands, QmpMonitor } from './dispatch.js';
import { dispatch, parseRequest } from './dispatch.js';
import { QmpError } from './error.js';
import type { QmpMembers } from './schema.js';
import type { Json } from './json-parser.js';
import { isJsonObject, JsonError, JsonStream } from './json-parser.js';
import { writeJson } from './json-writer.js';

/** QEMU's QMP_REQ_QUEUE_LEN_MAX: requests of one client that wait before its socket is no longer read. */
const QUEUE_LIMIT = 8;
/** Unsent output at which a client that does not read is let go, bytes. */
const OUTPUT_LIMIT = 64 << 20;

/** Runs jobs one after the other, in the order of the calls. */
export interface MainLoop {
  run<T>(job: () => T | Promise<T>): Promise<T>;
}

export interface QmpVersion {
  readonly qemu: { readonly micro: number; readonly minor: number; readonly major: number };
  readonly package: string;
}

/** Arguments of qmp_capabilities. */
export const NEGOTIATION: QmpMembers = { '*enable': { list: { enum: ['oob'] } } };

class QmpClientSession {
  readonly #connection: QmpConnection;
  readonly #monitor: QmpMonitor;
  readonly #server: QmpServer;
  #negotiated = false;
  #oob = false;
  #queued = 0;
  /** Messages that arrived before the end of the negotiation and are not answered yet. */
  #early = 0;
  #negotiating: Promise<void> = Promise.resolve();
  readonly #negotiation: QmpCommands;

  constructor(socket: Fd, descriptors: NamedDescriptors, server: QmpServer, closed: (session: QmpClientSession) => void) {
    this.#server = server;
    this.#negotiation = new Map<string, QmpCommand>([['qmp_capabilities', {
      arguments: NEGOTIATION,
      run: (args) => {
        this.#oob = Array.isArray(args['enable']) && args['enable'].includes('oob');
        this.#negotiated = true;
        return {};
      },
    }]]);
    const stream = new JsonStream((message) => this.#receive(message));
    this.#connection = new QmpConnection(socket, {
      data: (bytes) => {
        const taken = stream.feed(bytes, () => this.#waiting >= QUEUE_LIMIT);
        this.#throttle();
        return taken;
      },
      closed: () => closed(this),
    });
    this.#monitor = { descriptors, takeDescriptor: () => this.#connection.takeDescriptor() };
    this.send({ QMP: { version: { ...server.version, qemu: { ...server.version.qemu } }, capabilities: ['oob'] } });
  }

  /** Messages that are not answered yet. */
  get #waiting(): number {
    return this.#queued + this.#early;
  }

  get listens(): boolean {
    return this.#negotiated;
  }

  send(message: Json): void {
    // One message may be of any size: who sends a long `id` gets it back.
    if (this.#connection.outputSize > OUTPUT_LIMIT) this.#connection.close();
    else this.#connection.write(`${writeJson(message)}\r\n`);
  }

  /** Ends the connection once its output is sent. */
  end(): Promise<void> {
    return this.#connection.end();
  }

  /** A descriptor belongs to the command with which it came: nothing later is read until that has taken it. */
  #throttle(): void {
    this.#connection.pause(this.#waiting >= QUEUE_LIMIT || (this.#connection.hasDescriptor && this.#waiting > 0));
  }

  #receive(message: Json | JsonError): void {
    if (this.#negotiated && this.#early === 0) return this.#enqueue(message);
    // Until it has negotiated a client does not wait for the main loop: it can get in while that is held.
    this.#early++;
    this.#negotiating = this.#negotiating.then(async () => {
      if (this.#negotiated) this.#enqueue(message);
      else this.send(await this.#answer(message));
      this.#early--;
      this.#throttle();
    });
  }

  #enqueue(message: Json | JsonError): void {
    if (this.#isImmediate(message)) {
      void this.#answer(message).then((answer) => this.send(answer));
      return;
    }
    this.#queued++;
    void this.#server.loop.run(async () => {
      try {
        if (!this.#connection.closed) this.send(await this.#answer(message));
      } finally {
        this.#queued--;
        this.#throttle();
      }
    });
  }

  #isImmediate(message: Json | JsonError): boolean {
    if (message instanceof JsonError || !isJsonObject(message)) return false;
    const { execute } = message;
    return typeof execute === 'string' && this.#server.commands.get(execute)?.immediate === true;
  }

  async #answer(message: Json | JsonError): Promise<Json> {
    const id = !(message instanceof JsonError) && isJsonObject(message) && 'id' in message ? { id: message['id'] } : {};
    try {
      if (message instanceof JsonError) throw new QmpError(message.message);
      const request = parseRequest(message, this.#oob);
      const [commands, unknown] = this.#negotiated ? [this.#server.commands, unknownCommand] as const
        : [this.#negotiation, expectsNegotiation] as const;
      return { return: await dispatch(request, this.#monitor, commands, unknown), ...id };
    } catch (error) {
      if (!(error instanceof QmpError)) this.#server.onFault(error);
      const { errorClass, message: desc } = error instanceof QmpError ? error : new QmpError('internal error');
      return { error: { class: errorClass, desc }, ...id };
    }
  }
}

const expectsNegotiation = (): QmpError =>
  new QmpError("Expecting capabilities negotiation with 'qmp_capabilities'", 'CommandNotFound');
const unknownCommand = (name: string): QmpError => new QmpError(`The command ${name} has not been found`, 'CommandNotFound');
/** Once a client has negotiated. */
const NEGOTIATED: QmpCommand = {
  arguments: NEGOTIATION,
  run: () => { throw new QmpError('Capabilities negotiation is already complete, command ignored', 'CommandNotFound'); },
};

export interface QmpServerOptions {
  readonly commands: QmpCommands;
  readonly loop: MainLoop;
  readonly version: QmpVersion;
  /** A handler threw something that is no QmpError: a bug; that client gets an error, the server goes on. */
  readonly onFault: (error: unknown) => void;
}

export class QmpServer {
  readonly commands: QmpCommands;
  readonly loop: MainLoop;
  readonly version: QmpVersion;
  readonly onFault: (error: unknown) => void;
  readonly #sessions = new Set<QmpClientSession>();
  /** Of each socket that is listened on: QEMU's monitors. */
  readonly #descriptors: NamedDescriptors[] = [];
  readonly #servers: Server[] = [];

  constructor(options: QmpServerOptions) {
    this.commands = new Map([['qmp_capabilities', NEGOTIATED], ...options.commands]);
    this.loop = options.loop;
    this.version = options.version;
    this.onFault = options.onFault;
  }

  /** Listens on a socket path or host and port; rejects with Node's error (EADDRINUSE, ENOENT, EACCES). */
  listen(address: { readonly path: string } | { readonly host: string; readonly port: number }): Promise<void> {
    const descriptors = new NamedDescriptors();
    this.#descriptors.push(descriptors);
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      const fd = takeSocket(socket);
      if (fd === undefined) return;
      this.#sessions.add(new QmpClientSession(fd, descriptors, this, (session) => this.#sessions.delete(session)));
    });
    this.#servers.push(server);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ ...address }, () => {
        server.off('error', reject);
        resolve();
      });
    });
  }

  /** To every client that has negotiated, at once: events are not queued behind commands. */
  event(name: string, data?: { [key: string]: Json }): void {
    const now = process.hrtime.bigint() + CLOCK_OFFSET;
    const message: Json = {
      timestamp: { seconds: Number(now / 1_000_000_000n), microseconds: Number(now / 1000n % 1_000_000n) },
      event: name, ...(data === undefined ? {} : { data }),
    };
    for (const session of this.#sessions) if (session.listens) session.send(message);
  }

  /** Stops listening (the socket file goes away) and ends every connection once its output is sent. */
  async close(): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    await Promise.all([...closed, ...[...this.#sessions].map((session) => session.end())]);
    for (const descriptors of this.#descriptors) descriptors.close();
  }
}

/** From the monotonic clock to the epoch, ns. */
const CLOCK_OFFSET = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
