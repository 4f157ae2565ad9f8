/** Qtest: a client of QEMU's test protocol, by which memory and registers are read and written as by the guest's CPU. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { until, within } from './deadline.js';

export class Qtest {
  readonly #socket: Socket;
  /** Those that wait for an answer, in order. */
  readonly #waiting: ((line: string) => void)[] = [];
  #text = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (data: string) => this.#receive(data));
    socket.on('error', () => undefined);
  }

  static async connect(path: string, seconds: number, detail: () => string): Promise<Qtest> {
    return new Qtest(await until(seconds, `QEMU's qtest socket at ${path}`, () => new Promise<Socket | undefined>((resolve) => {
      const socket = connect(path);
      socket.once('connect', () => resolve(socket));
      socket.once('error', () => resolve(undefined));
    }), detail));
  }

  async read32(address: bigint): Promise<number> {
    return Number(await this.#ask(`readl 0x${address.toString(16)}`));
  }
  async read64(address: bigint): Promise<bigint> {
    return BigInt(await this.#ask(`readq 0x${address.toString(16)}`));
  }
  async write32(address: bigint, value: number): Promise<void> {
    await this.#ask(`writel 0x${address.toString(16)} 0x${value.toString(16)}`);
  }
  async write64(address: bigint, value: bigint): Promise<void> {
    await this.#ask(`writeq 0x${address.toString(16)} 0x${value.toString(16)}`);
  }
  /** Configuration space of a PCI device on bus 0, by the ports of a PC. */
  async readConfig16(slot: number, offset: number): Promise<number> {
    await this.#selectConfig(slot, offset);
    return Number(await this.#ask(`inw 0x${(0xcfc + (offset & 2)).toString(16)}`));
  }
  async writeConfig16(slot: number, offset: number, value: number): Promise<void> {
    await this.#selectConfig(slot, offset);
    await this.#ask(`outw 0x${(0xcfc + (offset & 2)).toString(16)} 0x${value.toString(16)}`);
  }
  async readMemory(address: bigint, length: number): Promise<Buffer> {
    return Buffer.from((await this.#ask(`read 0x${address.toString(16)} ${length}`)).slice(2), 'hex');
  }

  close(): void {
    this.#socket.destroy();
  }

  async #selectConfig(slot: number, offset: number): Promise<void> {
    await this.#ask(`outl 0xcf8 0x8000${(slot << 11 | (offset & 0xfc)).toString(16).padStart(4, '0')}`);
  }

  /** The answer's word after OK. */
  async #ask(line: string): Promise<string> {
    const answer = new Promise<string>((resolve) => this.#waiting.push(resolve));
    this.#socket.write(`${line}\n`);
    const [status, word = ''] = (await within(20, `QEMU's answer to ${line}`, answer)).split(' ');
    if (status !== 'OK') throw new Error(`qtest refused ${line}: ${status} ${word}`);
    return word;
  }

  #receive(data: string): void {
    this.#text += data;
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      // Interrupts are told in between.
      if (!line.startsWith('IRQ')) this.#waiting.shift()?.(line);
    }
  }
}
