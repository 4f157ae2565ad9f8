/**
 * QmpClient: a typed client of the machine protocol, for tests and tools; it speaks to `mdevsim vmm` and to QEMU.
 *
 * Every wait has an end: what does not come within its time rejects, with the events that did come.
 */
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { checkSocketPath } from '../../sys/socket.js';
import type { MigrationStatus as OwnMigrationStatus } from '../migration/state.js';

/** `failing` is QEMU 11's. */
export type MigrationStatus = OwnMigrationStatus | 'failing';

export interface MigrationInfo {
  readonly 'status'?: MigrationStatus;
  readonly 'error-desc'?: string;
  readonly 'blocked-reasons'?: readonly string[];
  /** Bytes of device state. */
  readonly 'vfio'?: { readonly transferred: number };
  readonly 'ram'?: Readonly<Record<string, number>>;
  /** ms */
  readonly 'total-time'?: number;
  readonly 'downtime'?: number;
  readonly 'setup-time'?: number;
  /** Where a destination listens. */
  readonly 'socket-address'?: readonly {
    readonly type: string; readonly host?: string; readonly port?: string; readonly path?: string;
  }[];
}

type Nothing = Record<string, never>;
/** Arguments and results of the commands that are known here. */
export interface QmpCommandTypes {
  'query-status': { args: undefined; result: { readonly status: string; readonly running: boolean } };
  'query-version': { args: undefined; result: { readonly qemu: Readonly<Record<'major' | 'minor' | 'micro', number>> } };
  'query-commands': { args: undefined; result: readonly { readonly name: string }[] };
  'query-migrate': { args: undefined; result: MigrationInfo };
  'migrate': { args: { readonly uri: string }; result: Nothing };
  'migrate-incoming': { args: { readonly uri: string; readonly 'exit-on-error'?: boolean }; result: Nothing };
  'migrate_cancel': { args: undefined; result: Nothing };
  'migrate-continue': { args: { readonly state: string }; result: Nothing };
  'migrate-set-capabilities': {
    args: { readonly capabilities: readonly { readonly capability: string; readonly state: boolean }[] }; result: Nothing;
  };
  'migrate-set-parameters': { args: Readonly<Record<string, number | string | boolean>>; result: Nothing };
  'stop': { args: undefined; result: Nothing };
  'cont': { args: undefined; result: Nothing };
  'quit': { args: undefined; result: Nothing };
  'pmemsave': { args: { readonly val: number; readonly size: number; readonly filename: string }; result: Nothing };
  'system_reset': { args: undefined; result: Nothing };
  'device_add': { args: Readonly<Record<string, string | boolean>>; result: Nothing };
  'device_del': { args: { readonly id: string }; result: Nothing };
  'qom-get': { args: { readonly path: string; readonly property: string }; result: unknown };
  /** QEMU's only. */
  'human-monitor-command': { args: { readonly 'command-line': string }; result: string };
  'x-mdevsim-break': { args: { readonly step: string; readonly enable?: boolean }; result: Nothing };
  'x-mdevsim-guest-load': {
    args: undefined; result: { readonly pages: number; readonly sent: number; readonly received: number; readonly errors: number };
  };
  'x-mdevsim-continue': { args: { readonly step?: string }; result: Nothing };
  'x-query-mdevsim-steps': { args: undefined; result: { readonly breaks: readonly string[]; readonly held: readonly string[] } };
}
type Arguments<C extends keyof QmpCommandTypes> = QmpCommandTypes[C]['args'] extends undefined ? []
  : [QmpCommandTypes[C]['args']];

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}

export interface EventWait {
  /** Leaves out so many earlier events. */
  readonly after?: number;
  /** ms */
  readonly patience?: number;
  /** For the message when it does not come. */
  readonly what?: string;
}

/** The server's error reply. */
export class QmpReplyError extends Error {
  override readonly name = 'QmpReplyError';

  constructor(readonly errorClass: string, readonly desc: string) {
    super(desc);
  }
}

/** Something did not come in time. */
export class QmpTimeoutError extends Error {
  override readonly name = 'QmpTimeoutError';
}

interface Message extends Partial<QmpEvent> {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

/** ms, for a reply or an event. */
const PATIENCE = 20_000;
/** Events that an error lists. */
const SHOWN = 30;

export class QmpClient {
  /** All events since the connection, in order. */
  readonly events: QmpEvent[] = [];
  readonly #socket: Socket;
  readonly #patience: number;
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #watchers = new Set<() => void>();
  #next = 1;
  #text = '';
  #closed = false;

  private constructor(socket: Socket, patience: number) {
    this.#socket = socket;
    this.#patience = patience;
    socket.setEncoding('utf8');
    socket.on('data', (data: string) => this.#receive(data));
    socket.on('error', () => this.#end());
    socket.on('close', () => this.#end());
  }

  /** Connects to a socket path and negotiates. Rejects with Node's error. `patience`: with each reply, ms. */
  static async connect(path: string, patience = PATIENCE): Promise<QmpClient> {
    checkSocketPath(path);
    const socket = await new Promise<Socket>((resolve, reject) => {
      const made = createConnection({ path });
      made.once('error', reject);
      made.once('connect', () => {
        made.off('error', reject);
        resolve(made);
      });
    });
    const client = new QmpClient(socket, patience);
    try {
      await client.#send('qmp_capabilities', undefined);
    } catch (error) {
      client.close();
      throw error;
    }
    return client;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Rejects with QmpReplyError. */
  execute<C extends keyof QmpCommandTypes>(command: C, ...[args]: Arguments<C>): Promise<QmpCommandTypes[C]['result']> {
    return this.#send(command, args);
  }

  /** Any command, known here or not. Rejects with QmpReplyError. */
  executeAny(command: string, args?: object): Promise<unknown> {
    return this.#send(command, args);
  }

  /** The first event that matches among those since number `after` (default: all so far and to come). */
  event(matches: (event: QmpEvent) => boolean, options: EventWait = {}): Promise<QmpEvent> {
    const { after = 0, patience = PATIENCE, what = 'an event' } = options;
    const found = new Promise<QmpEvent>((resolve, reject) => {
      const look = (): void => {
        const event = this.events.slice(after).find(matches);
        if (event === undefined && !this.#closed) return;
        this.#watchers.delete(look);
        if (event === undefined) reject(new Error(`the connection ended before ${what}; ${this.#seen()}`));
        else resolve(event);
      };
      this.#watchers.add(look);
      look();
    });
    return this.#within(patience, what, found);
  }

  /** One member of all events of a kind, in order: what states VFIO_MIGRATION named. */
  eventValues(name: string, member: string): readonly unknown[] {
    return this.events.filter(({ event }) => event === name).map(({ data }) => data[member]);
  }

  /** The event MIGRATION with one of these statuses; needs the capability `events`. */
  status(statuses: readonly MigrationStatus[], after = 0, patience = PATIENCE): Promise<QmpEvent> {
    const matches = ({ event, data }: QmpEvent): boolean => event === 'MIGRATION' && statuses.some((status) => status === data['status']);
    return this.event(matches, { after, patience, what: `the migration to be ${statuses.join(' or ')}` });
  }

  close(): void {
    this.#socket.destroy();
    this.#end();
  }

  #send(command: string, args: object | undefined): Promise<unknown> {
    const id = this.#next++;
    if (this.#closed) return Promise.reject(new Error('the connection is closed'));
    const answer = new Promise<unknown>((resolve, reject) => void this.#pending.set(id, { resolve, reject }));
    this.#socket.write(`${JSON.stringify({ execute: command, id, ...(args === undefined ? {} : { arguments: args }) })}\n`);
    return this.#within(this.#patience, `the reply to ${command}`, answer);
  }

  async #within<T>(patience: number, what: string, promise: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new QmpTimeoutError(`waited ${patience} ms for ${what}; ${this.#seen()}`)), patience);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #seen(): string {
    const last = this.events.slice(-SHOWN).map(({ event, data }) => `${event} ${JSON.stringify(data)}`);
    return `${this.events.length > SHOWN ? 'last ' : ''}events: ${last.join(', ') || 'none'}`;
  }

  #receive(data: string): void {
    this.#text += data;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      if (line.trim() !== '') this.#handle(JSON.parse(line) as Message);
    }
  }

  #handle(message: Message): void {
    if (message.event !== undefined && message.timestamp !== undefined) {
      this.events.push({ event: message.event, data: message.data ?? {}, timestamp: message.timestamp });
      this.#look();
    }
    const waiting = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (waiting === undefined || message.id === undefined) return;
    this.#pending.delete(message.id);
    if (message.error !== undefined) waiting.reject(new QmpReplyError(message.error.class, message.error.desc));
    else waiting.resolve(message.return);
  }

  #end(): void {
    this.#closed = true;
    for (const { reject } of this.#pending.values()) reject(new Error('the connection ended'));
    this.#pending.clear();
    this.#look();
  }

  #look(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
