/** A client of QMP that has negotiated, writes what bytes it likes and reads lines of any length. */
import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { within } from '../e2e/deadline.js';

export class RawClient {
  readonly #socket: Socket;
  readonly #lines: Buffer[] = [];
  #pieces: Buffer[] = [];
  #look: () => void = () => undefined;

  private constructor(path: string) {
    this.#socket = createConnection({ path });
    this.#socket.on('error', () => undefined);
    this.#socket.on('data', (data: Buffer) => this.#receive(data));
    this.#socket.on('close', () => this.#look());
  }

  static async connect(path: string): Promise<RawClient> {
    const raw = new RawClient(path);
    await raw.line();
    await raw.write('{"execute":"qmp_capabilities"}\n');
    assert.equal((await raw.line()).toString(), '{"return": {}}');
    return raw;
  }

  write(data: string | Buffer): Promise<void> {
    return new Promise((resolve) => this.#socket.write(data, () => resolve()));
  }

  /** The next line, without its end. */
  line(patience = 30): Promise<Buffer> {
    return within(patience, 'a line', new Promise((resolve, reject) => {
      this.#look = (): void => {
        const line = this.#lines.shift();
        if (line !== undefined) {
          this.#look = (): void => undefined;
          resolve(line);
        } else if (this.#socket.destroyed) reject(new Error('closed'));
      };
      this.#look();
    }));
  }

  /** All lines before the one that matches. */
  async linesBefore(last: RegExp, patience?: number): Promise<Buffer[]> {
    const lines = [];
    for (;;) {
      const line = await this.line(patience);
      if (line.length < 1000 && last.test(line.toString())) return lines;
      lines.push(line);
    }
  }

  #receive(data: Buffer): void {
    let from = 0;
    for (let end = data.indexOf('\n'); end >= 0; end = data.indexOf('\n', from)) {
      const line = Buffer.concat([...this.#pieces, data.subarray(from, end)]);
      this.#lines.push(line.at(-1) === 0x0d ? line.subarray(0, -1) : line);
      this.#pieces = [];
      from = end + 1;
    }
    this.#pieces.push(data.subarray(from));
    this.#look();
  }

  end(): void {
    this.#socket.destroy();
  }
}
