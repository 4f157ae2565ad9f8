/** Qmp: a typed client of QEMU's machine protocol, as far as these tests speak it. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { until, within } from './deadline.js';

export type MigrationStatus =
  | 'none' | 'setup' | 'active' | 'pre-switchover' | 'device' | 'completed' | 'failing' | 'failed' | 'cancelling' | 'cancelled'
  | 'wait-unplug';

export interface MigrationInfo {
  readonly status?: MigrationStatus;
  readonly 'error-desc'?: string;
  readonly 'blocked-reasons'?: readonly string[];
  /** Bytes of VFIO devices. */
  readonly vfio?: { readonly transferred: number };
}

interface Commands {
  'qmp_capabilities': { args: undefined; result: Record<string, never> };
  'query-status': { args: undefined; result: { readonly status: string; readonly running: boolean } };
  'query-migrate': { args: undefined; result: MigrationInfo };
  'query-version': { args: undefined; result: { readonly qemu: { readonly major: number; readonly minor: number } } };
  'migrate': { args: { readonly uri: string }; result: Record<string, never> };
  'migrate_cancel': { args: undefined; result: Record<string, never> };
  'migrate-continue': { args: { readonly state: 'pre-switchover' }; result: Record<string, never> };
  'migrate-set-capabilities': {
    args: { readonly capabilities: readonly { readonly capability: string; readonly state: boolean }[] };
    result: Record<string, never>;
  };
  'migrate-set-parameters': { args: Readonly<Record<string, number | string | boolean>>; result: Record<string, never> };
  'human-monitor-command': { args: { readonly 'command-line': string }; result: string };
  'system_reset': { args: undefined; result: Record<string, never> };
  'stop': { args: undefined; result: Record<string, never> };
  'cont': { args: undefined; result: Record<string, never> };
  'quit': { args: undefined; result: Record<string, never> };
}
export type QmpCommand = keyof Commands;
type Arguments<C extends QmpCommand> = Commands[C]['args'] extends undefined ? [] : [Commands[C]['args']];

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}

/** QEMU's answer to a command that it refused. */
export class QmpError extends Error {
  override readonly name = 'QmpError';
}

interface Message extends Partial<QmpEvent> {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly QMP?: unknown;
}

export class Qmp {
  /** All events since the connection, in order. */
  readonly events: QmpEvent[] = [];
  readonly #socket: Socket;
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #watchers = new Set<() => void>();
  #next = 1;
  #text = '';
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (data: string) => this.#receive(data));
    socket.on('error', () => this.#end());
    socket.on('close', () => this.#end());
  }

  /** Tries until QEMU has made the socket; `alive` says whether it still may. */
  static async connect(path: string, seconds: number, alive: () => boolean, detail: () => string): Promise<Qmp> {
    const socket = await until(seconds, `QEMU's monitor at ${path}`, async () => {
      if (!alive()) throw new Error(`QEMU ended before its monitor was there:\n${detail()}`);
      return tryConnect(path);
    }, detail);
    const qmp = new Qmp(socket);
    await within(seconds, 'QMP negotiation', qmp.execute('qmp_capabilities'), detail);
    return qmp;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Throws QmpError with QEMU's sentence. Waits at most 20 s. */
  execute<C extends QmpCommand>(command: C, ...[args]: Arguments<C>): Promise<Commands[C]['result']> {
    const id = this.#next++;
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#closed) reject(new QmpError('the monitor is closed'));
      this.#pending.set(id, { resolve, reject });
    });
    this.#socket.write(`${JSON.stringify({ execute: command, id, ...(args === undefined ? {} : { arguments: args }) })}\n`);
    return within(20, `QEMU's answer to ${command}`, answer) as Promise<Commands[C]['result']>;
  }

  /** The first event that matches, from now or before; `after` leaves out so many earlier ones. */
  async event(seconds: number, what: string, matches: (event: QmpEvent) => boolean, after = 0): Promise<QmpEvent> {
    const found = new Promise<QmpEvent>((resolve, reject) => {
      const look = (): void => {
        const event = this.events.slice(after).find(matches);
        if (event === undefined && !this.#closed) return;
        this.#watchers.delete(look);
        if (event === undefined) reject(new Error(`QEMU went away before ${what}`));
        else resolve(event);
      };
      this.#watchers.add(look);
      look();
    });
    const seen = (): string => this.events.map((one) => `${one.event} ${JSON.stringify(one.data)}`).join('\n');
    return within(seconds, what, found, seen);
  }

  /** Data of one member of all events of a kind, in order: what VFIO_MIGRATION's states were. */
  eventValues(event: string, member: string): readonly unknown[] {
    return this.events.filter((one) => one.event === event).map((one) => one.data[member]);
  }

  close(): void {
    this.#socket.destroy();
    this.#end();
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
      this.#notify();
    }
    const waiting = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (waiting === undefined || message.id === undefined) return;
    this.#pending.delete(message.id);
    if (message.error !== undefined) waiting.reject(new QmpError(message.error.desc));
    else waiting.resolve(message.return);
  }

  #end(): void {
    this.#closed = true;
    for (const { reject } of this.#pending.values()) reject(new QmpError('QEMU went away'));
    this.#pending.clear();
    this.#notify();
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners();
      resolve(socket);
    });
    socket.once('error', () => resolve(undefined));
  });
}
