/** One server of QMP, QEMU or ours, to which both the same bytes are sent; what comes back, without what must differ. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { sendWithDescriptors } from './descriptors.js';

/** Bytes that are sent by themselves, perhaps with descriptors. */
export type Piece = string | Buffer | { readonly text: string; readonly descriptors: readonly number[] };
export type Line = Readonly<Record<string, unknown>>;

/** Members whose values depend on time or on the size of something that differs: only their types are compared. */
const MEASURED = new Set([
  'total-time', 'downtime', 'setup-time', 'expected-downtime', 'transferred', 'remaining', 'total', 'duplicate', 'normal',
    'normal-bytes', 'mbps',
  'pages-per-second', 'precopy-bytes', 'downtime-bytes', 'dirty-pages-rate', 'dirty-sync-count', 'pass', 'port', 'path',
    'thread-id',
]);

function normalize(value: unknown, key = ''): unknown {
  if (MEASURED.has(key)) return typeof value;
  if (Array.isArray(value)) return value.map((item) => normalize(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, normalize(member, name)]));
}

/** A reply line as an object; a number as `id` is compared as it is written, and `inf` is no JSON. */
function parse(line: string): Line {
  const { timestamp, ...rest } = JSON.parse(line.replace(/("id": )(-?(?:inf|\d[\d.e+-]*))/, '$1"$2"')) as Record<string, unknown>;
  return normalize(timestamp === undefined ? rest : { ...rest, timestamp: '' }) as Line;
}

const PATIENCE = 15_000;

export class Peer {
  readonly process: ChildProcess;
  readonly #path: string;
  /** Lines that have not been taken yet. */
  #lines: Line[] = [];
  /** All events. */
  readonly events: string[] = [];
  #socket!: Socket;
  #text = '';
  #sentinel = 0;
  #wake: (() => void) | undefined;
  #closed = false;
  output = '';
  readonly exited: Promise<number | null>;

  constructor(readonly name: string, argv: readonly string[], path: string) {
    const [file = '', ...args] = argv;
    this.#path = path;
    this.process = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream?.on('data',
      (data: Buffer) => { this.output += data.toString(); });
    this.exited = new Promise((resolve) => this.process.once('close', (status) => resolve(status)));
  }

  /** The first line it says, its version replaced. */
  async greeting(): Promise<Line> {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const socket = await new Promise<Socket | undefined>((resolve) => {
        const made = createConnection({ path: this.#path });
        made.once('connect', () => resolve(made)).once('error', () => resolve(undefined));
      });
      if (socket !== undefined) {
        this.#socket = socket;
        break;
      }
      if (Date.now() > end || this.process.exitCode !== null) throw new Error(`${this.name} has no monitor: ${this.output}`);
      await sleep(20);
    }
    this.#socket.removeAllListeners('error').on('error', () => undefined);
    this.#socket.on('data', (data) => this.#receive(data.toString('latin1')));
    this.#socket.on('close', () => {
      this.#closed = true;
      this.#wake?.();
    });
    const [line] = await this.#take(() => this.#lines.length > 0);
    return Object.keys(line?.['QMP'] ?? {}).length > 0 ? { QMP: { ...(line?.['QMP'] as object), version: '' } } : { ...line };
  }

  /** Everything that comes for these bytes, events among it. */
  async say(...pieces: readonly Piece[]): Promise<Line[]> {
    const id = `end ${++this.#sentinel}`;
    for (const piece of pieces) {
      if (typeof piece === 'string' || Buffer.isBuffer(piece)) this.#socket.write(piece);
      else sendWithDescriptors(this.#socket, piece.text, piece.descriptors);
    }
    this.#socket.write(`${JSON.stringify({ execute: 'query-name', id })}\n`);
    const lines = await this.#take(() => this.#lines.some((line) => line['id'] === id));
    return lines.filter((line) => line['id'] !== id);
  }

  command(execute: string, args?: object): Promise<Line[]> {
    return this.say(`${JSON.stringify({ execute, ...(args === undefined ? {} : { arguments: args }) })}\n`);
  }

  /** Everything that comes until the connection ends, for a command after which it does. */
  last(execute: string): Promise<Line[]> {
    this.#socket.write(`${JSON.stringify({ execute })}\n`);
    return this.#take(() => false);
  }

  /** Until an event was seen that, as text, matches; from event number `after` on. */
  async reached(pattern: RegExp, after = 0): Promise<void> {
    const end = Date.now() + PATIENCE;
    while (!this.events.slice(after).some((event) => pattern.test(event))) {
      if (Date.now() > end || this.#closed) {
        throw new Error(`${this.name} never came to ${pattern}: ${this.events.join(', ')}\n${this.output}`);
      }
      await Promise.race([new Promise<void>((resolve) => { this.#wake = resolve; }), sleep(200)]);
    }
  }

  /** How many descriptors the process has. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.process.pid}/fd`).length;
  }

  /** How many it has when it has started: what it opens only for that is closed. */
  async settledDescriptors(): Promise<number> {
    for (let [before, same] = [0, 0]; ;) {
      await sleep(50);
      const now = this.descriptors;
      same = now === before ? same + 1 : 0;
      if (same === 10) return now;
      before = now;
    }
  }

  /** Another client in place of this one, when the server has closed this one's connection and `more` descriptors. */
  async reconnect(more = 0): Promise<void> {
    const left = this.descriptors - 1 - more;
    await new Promise((resolve) => { this.#socket.once('close', resolve).destroy(); });
    const end = Date.now() + PATIENCE;
    while (this.descriptors > left) {
      if (Date.now() > end) throw new Error(`${this.name} does not see its client go`);
      await sleep(5);
    }
    this.#closed = false;
    await this.greeting();
    await this.command('qmp_capabilities');
  }

  /** Forgets lines that were not asked for. */
  drain(): void {
    this.#lines = [];
  }

  async end(): Promise<void> {
    this.#socket?.destroy();
    if (this.process.exitCode === null) this.process.kill('SIGKILL');
    await this.exited;
  }

  /** Lines up to where `done` holds, or all where the connection ends. */
  async #take(done: () => boolean): Promise<Line[]> {
    const end = Date.now() + PATIENCE;
    while (!done() && !this.#closed) {
      if (Date.now() > end) {
        throw new Error(`${this.name} does not answer; so far: ${JSON.stringify(this.#lines)}\n${this.output}`);
      }
      await Promise.race([new Promise<void>((resolve) => { this.#wake = resolve; }), sleep(500)]);
    }
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  #receive(data: string): void {
    this.#text += data;
    for (let at = this.#text.indexOf('\r\n'); at >= 0; at = this.#text.indexOf('\r\n')) {
      const line = parse(this.#text.slice(0, at));
      this.#text = this.#text.slice(at + 2);
      const data = line['data'] as Record<string, unknown> | undefined;
      // QEMU's firmware resets the machine once more when it was reset; ours has no guest that could.
      if (data?.['guest'] === true) continue;
      this.#lines.push(line);
      if (typeof line['event'] === 'string') {
        this.events.push([line['event'], data?.['status']].filter((part) => typeof part === 'string').join(' '));
      }
    }
    this.#wake?.();
  }
}
