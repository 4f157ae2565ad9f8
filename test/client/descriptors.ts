/** Sends and receives descriptors along with bytes, as libvirt does: through Node's own socket, past Node. */
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
