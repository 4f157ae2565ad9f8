/** The port's own rules, one table: accesses, what they read, how many interrupts they raise. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Uart } from '../../src/drivers/mtty/uart.js';

type Step = readonly ['w', number, number] | readonly ['r', number, number] | readonly ['irq', number];

const bytes = (count: number, first = 0): Step[] => Array.from({ length: count }, (_, n) => ['w', 0, first + n] as const);

const CASES: readonly { readonly name: string; readonly steps: readonly Step[] }[] = [
  { name: 'a fresh port is empty and has trigger level 0', steps: [['r', 5, 0x60], ['r', 6, 0xb3], ['w', 1, 1], ['r', 2, 0xc4]] },
  {
    name: 'after FCR the trigger level is 1',
    steps: [
      ['w', 2, 0xc7], ['w', 1, 1], ['r', 2, 0xc1], ['w', 0, 9], ['r', 2, 0xc4], ['irq', 1],
    ],
  },
  {
    name: 'bytes written to THR come back from RBR in order',
    steps: [
      ...bytes(3, 65), ['r', 5, 0x01], ['r', 0, 65], ['r', 0, 66], ['r', 0, 67], ['r', 5, 0x60], ['r', 0, 0],
    ],
  },
  { name: 'a FIFO with 15 bytes holds data', steps: [['w', 2, 7], ...bytes(15), ['r', 5, 0x01]] },
  {
    name: 'a FIFO with 16 bytes reads as empty and gives nothing back',
    steps: [
      ['w', 2, 7], ...bytes(16, 1), ['r', 5, 0x60], ['r', 0, 0],
    ],
  },
  {
    name: 'an overrun is sticky until a byte fits, FCR does not clear it',
    steps: [
      ['w', 2, 7], ...bytes(17), ['r', 5, 0x62], ['w', 2, 7], ['r', 5, 0x62], ['w', 0, 1], ['r', 5, 0x01],
    ],
  },
  {
    name: 'without FIFO the second byte overruns',
    steps: [
      ['w', 2, 0], ['w', 0, 1], ['r', 5, 0x01], ['w', 0, 2], ['r', 5, 0x03],
    ],
  },
  {
    name: 'divisor bytes are or-ed until DLAB is set again',
    steps: [
      ['w', 3, 0x80], ['w', 0, 0x0c], ['w', 0, 0x03], ['r', 0, 0x0f], ['w', 1, 1], ['w', 1, 0x10], ['r', 1, 0x11],
      ['w', 3, 0x83], ['r', 0, 0], ['r', 1, 0],
    ],
  },
  { name: 'IER reads back four bits', steps: [['w', 1, 0xff], ['r', 1, 0x0f]] },
  { name: 'LSR and MSR ignore writes', steps: [['w', 5, 0xff], ['r', 5, 0x60], ['w', 6, 0], ['r', 6, 0xb3]] },
  {
    name: 'AFE drops CTS while the FIFO is full',
    steps: [
      ['w', 2, 7], ['w', 4, 0x20], ['r', 6, 0xb3], ...bytes(16), ['r', 6, 0xa2], ['w', 4, 0], ['r', 6, 0xb3],
    ],
  },
  { name: 'registers past 7 read 0 and take writes', steps: [['w', 8, 1], ['r', 8, 0], ['r', 255, 0]] },
  {
    name: 'IER=THRI raises an interrupt while empty, each time',
    steps: [
      ['w', 1, 2], ['irq', 1], ['w', 1, 2], ['irq', 2], ['w', 0, 1], ['irq', 2], ['r', 0, 1], ['irq', 3], ['r', 0, 0],
      ['irq', 4],
    ],
  },
  {
    name: 'IER=RLSI raises an interrupt at an overrun',
    steps: [
      ['w', 2, 7], ['w', 1, 4], ...bytes(16), ['irq', 0], ['w', 0, 1], ['irq', 1], ['r', 2, 0xc6],
    ],
  },
  {
    name: 'MCR with OUT2 and RTS raises two interrupts',
    steps: [
      ['w', 1, 8], ['w', 4, 1], ['irq', 1], ['w', 4, 8], ['irq', 2], ['w', 4, 10], ['irq', 4],
    ],
  },
  { name: 'the modem status cause reads as nothing pending', steps: [['w', 1, 8], ['w', 4, 3], ['r', 2, 0xc1]] },
];

for (const { name, steps } of CASES) {
  test(name, () => {
    let interrupts = 0;
    const uart = new Uart({ triggerInterrupt: () => { interrupts++; } });
    steps.forEach((step, n) => {
      if (step[0] === 'w') uart.write(step[1], step[2]);
      else if (step[0] === 'r') assert.equal(uart.read(step[1]), step[2], `step ${n}: register ${step[1]}`);
      else assert.equal(interrupts, step[1], `step ${n}: interrupts`);
    });
  });
}

test('a loaded state with impossible indices neither throws nor leaves the port', () => {
  const uart = new Uart({ triggerInterrupt: () => undefined });
  uart.load(new Uint8Array(36).fill(0xff));
  for (let register = 0; register < 8; register++) uart.read(register);
  uart.load(Uint8Array.from({ length: 36 }, (_, n) => n * 7));
  for (let n = 0; n < 40; n++) uart.read(0);
  for (let n = 0; n < 300; n++) uart.write(0, n & 0xff);
  uart.write(2, 7);
  uart.write(3, 3);
  uart.write(0, 65);
  assert.equal(uart.read(0), 65);
});
