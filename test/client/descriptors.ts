/** Sends descriptors along with bytes, as libvirt does: through Node's own socket, past Node. */
import type { Socket } from 'node:net';
import { addressOf, bind, check } from '../../src/sys/libc.js';
import { cmsghdr, iovec, msghdr, SCM_RIGHTS, SOL_SOCKET } from '../../src/sys/socket.js';

const cSendmsg = bind('sendmsg', 'long', ['int', 'pointer', 'int']);
/** CMSG_ALIGN */
const align = (size: number): number => (size + 7) & ~7;

/** One message of few bytes; the descriptors stay the caller's too. */
export function sendWithDescriptors(socket: Socket, text: string | Buffer, fds: readonly number[]): void {
  const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const data = Buffer.from(text);
  const numbers = new Uint8Array(Int32Array.from(fds).buffer);
  const control = new Uint8Array(align(cmsghdr.size + numbers.length));
  control.set(cmsghdr.encode({ cmsg_len: BigInt(cmsghdr.size + numbers.length), cmsg_level: SOL_SOCKET, cmsg_type: SCM_RIGHTS }));
  control.set(numbers, cmsghdr.size);
  const vector = iovec.encode({ iov_base: addressOf(data), iov_len: BigInt(data.length) });
  const message = msghdr.encode({
    msg_iov: addressOf(vector), msg_iovlen: 1n, msg_control: addressOf(control), msg_controllen: BigInt(control.length),
  });
  if (check(cSendmsg(fd, message, 0), 'sendmsg') !== data.length) throw new Error('sendmsg sent a part');
}
