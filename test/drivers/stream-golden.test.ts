/** Streams that the kernel's mtty wrote: they load, come out the same, and ours are what the kernel would have written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { checkHeader, encodeHeader, encodePorts, HEADER_SIZE, loadPorts, streamSize } from '../../src/drivers/mtty/stream.js';
import { Uart } from '../../src/drivers/mtty/uart.js';
import { hex, loadGolden, text } from '../golden/load.js';

const ports = (n: number): Uart[] => Array.from({ length: n }, () => new Uart({ triggerInterrupt: () => undefined }));
const streamOf = (uarts: readonly Uart[]): string =>
  Buffer.concat([encodeHeader(uarts.length), encodePorts(uarts)]).toString('hex');

function write(uart: Uart, writes: readonly (readonly [number, number])[]): void {
  for (const [register, value] of writes) uart.write(register, value);
}

/** The state the recording put each port into (probes/probe-mig.c: fill()). */
function fill(uart: Uart, n: number): void {
  const [low, scratch, message] = n === 0 ? [0x0c, 0x5a, 'golden'] : [0x0d, 0x5b, 'SECOND'];
  write(uart, [[2, 7], [3, 0x83], [0, low], [1, 0x01], [3, 0x1b], [1, 5], [4, 0x0b], [7, scratch]]);
  write(uart, [...message].map((letter) => [0, letter.charCodeAt(0)] as const));
}

/** What each recorded stream had done to port 1 after fill(). */
const CHANGES: Readonly<Record<string, (uart: Uart) => void>> = {
  'after reading 2 bytes of the FIFO': (uart) => { uart.read(0); uart.read(0); },
  'FIFO filled with 16': (uart) => write(uart, [...'0123456789'].map((c) => [0, c.charCodeAt(0)] as const)),
  overrun: (uart) => write(uart, [...'0123456789:'].map((c) => [0, c.charCodeAt(0)] as const)),
  'FIFO disabled (FCR 0)': (uart) => uart.write(2, 0),
  'DLAB set': (uart) => uart.write(3, 0x83),
  'trigger level 14': (uart) => uart.write(2, 0xc7),
};

for (const [sec, count] of [['mig-mtty-1', 1], ['mig-mtty-2', 2]] as const) {
  const recorded = loadGolden('migration-fsm', { kernel: 'stock', sec, op: 'stream' });
  for (const record of recorded) {
    test(`${sec}: stream "${text(record, 'what')}" loads and saves unchanged`, () => {
      const uarts = ports(count);
      const stream = hex(record, 'hex');
      checkHeader(stream, count);
      loadPorts(uarts, stream);
      assert.equal(streamOf(uarts), text(record, 'hex'));
    });
  }

  test(`${sec}: a card in the recorded state writes the kernel's bytes`, () => {
    const uarts = ports(count);
    const [first] = uarts;
    assert.ok(first);
    // The probe had written one more byte into port 1 before: it is still in the FIFO's memory.
    fill(first, 0);
    first.write(0, 'X'.charCodeAt(0));
    for (const record of recorded) {
      const what = text(record, 'what');
      if (what === 'untouched device') {
        assert.equal(streamOf(ports(count)), text(record, 'hex'), what);
        continue;
      }
      uarts.forEach(fill);
      CHANGES[what]?.(first);
      assert.equal(streamOf(uarts), text(record, 'hex'), what);
      // The recording goes on from here as the probe does.
      if (what in CHANGES) first.write(3, 3);
    }
  });

  test(`${sec}: checkHeader() rejects a change to any header byte with EFAULT`, () => {
    for (let n = 0; n < HEADER_SIZE; n++) {
      const header = encodeHeader(count);
      header[n] = (header[n] ?? 0) ^ 0x10;
      assert.throws(() => checkHeader(header, count), (error) => isErrno(error, 'EFAULT'), `byte ${n}`);
    }
    assert.throws(() => checkHeader(encodeHeader(3 - count), count), (error) => isErrno(error, 'EFAULT'));
  });

  test(`${sec}: loadPorts() rejects a stream that is too short with EINVAL and changes nothing`, () => {
    const uarts = ports(count);
    const before = streamOf(uarts);
    const [full] = recorded;
    assert.ok(full);
    for (let length = 0; length < streamSize(count); length++) {
      assert.throws(() => loadPorts(uarts, hex(full, 'hex').subarray(0, length)), (error) => isErrno(error, 'EINVAL'));
    }
    assert.equal(streamOf(uarts), before);
  });
}
