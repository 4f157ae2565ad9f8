/** Sends and receives descriptors along with bytes, as libvirt does: through Node's own socket, past Node. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fd } from '../../src/sys/fd.js';
import { ERRNO } from '../../src/abi/errno.js';
import { receive, sendWithDescriptors as send } from '../../src/sys/socket.js';

const numberOf = (socket: Socket): number => (socket as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;

/** One message of few bytes; the descriptors stay the caller's too. */
export function sendWithDescriptors(socket: Socket, text: string | Buffer, fds: readonly number[]): void {
  const data = Buffer.from(text);
  if (send(numberOf(socket), data, fds) !== data.length) throw new Error('sendmsg failed, or sent a part');
}

/** `getfd` at the QMP server on that path; the descriptor stays the caller's too. */
export async function giveDescriptor(path: string, fdname: string, fd: number): Promise<void> {
  const socket = createConnection({ path });
  let text = '';
  socket.on('data', (data: Buffer) => { text += data.toString(); });
  try {
    await once(socket, 'connect');
    socket.write('{"execute":"qmp_capabilities"}');
    sendWithDescriptors(socket, JSON.stringify({ execute: 'getfd', arguments: { fdname }, id: 'given' }), [fd]);
    while (!text.includes('"id": "given"')) await once(socket, 'data');
    if (!text.includes('{"return": {}, "id": "given"}')) throw new Error(text);
  } finally {
    socket.destroy();
  }
}

/** What comes first on a socket that Node does not read yet. The descriptors are the caller's. */
export async function receiveWithDescriptors(socket: Socket): Promise<{ readonly data: Buffer; readonly descriptors: readonly Fd[] }> {
  const data = Buffer.alloc(1 << 16);
  for (;;) {
    const { size, descriptors } = receive(numberOf(socket), data);
    if (size >= 0) return { data: data.subarray(0, size), descriptors };
    if (size !== -ERRNO.EAGAIN) throw new Error(`recvmsg failed with errno ${-size}`);
    await sleep(1);
  }
}
