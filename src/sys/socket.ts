/** Socket pairs and descriptors passed through them. Source: include/linux/socket.h, man 3 cmsg. */
import { Errno } from '../abi/errno.js';
import { s32, struct, u32, u64 } from '../abi/layout.js';
import { Fd } from './fd.js';
import { addressOf, bind, lastErrno, check } from './libc.js';

const cSocketpair = bind('socketpair', 'int', ['int', 'int', 'int', 'pointer']);
const cRecvmsg = bind('recvmsg', 'long', ['int', 'pointer', 'int']);

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

const iovec = struct('iovec', { iov_base: u64, iov_len: u64 });
const msghdr = struct('msghdr', {
  msg_name: u64, msg_namelen: u32, pad: u32, msg_iov: u64, msg_iovlen: u64, msg_control: u64, msg_controllen: u64, msg_flags: s32,
});
const cmsghdr = struct('cmsghdr', { cmsg_len: u64, cmsg_level: s32, cmsg_type: s32, fd: s32 });

/** Two connected stream sockets, close-on-exec. */
export function socketPair(): [Fd, Fd] {
  const pair = new Int32Array(2);
  check(cSocketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, new Uint8Array(pair.buffer)), 'socketpair');
  return [new Fd(pair[0] as number), new Fd(pair[1] as number)];
}

/** The descriptor in the message that waits in the socket, close-on-exec; undefined when there is none. Does not block. */
export function receiveFd(socket: number): number | undefined {
  const data = new Uint8Array(16);
  const control = new Uint8Array(64);
  const vector = iovec.encode({ iov_base: addressOf(data), iov_len: BigInt(data.length) });
  const message = msghdr.encode({
    msg_iov: addressOf(vector), msg_iovlen: 1n, msg_control: addressOf(control), msg_controllen: BigInt(control.length),
  });
  if (cRecvmsg(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) {
    const errno = lastErrno();
    if (errno === 11) return undefined;
    throw Errno.fromNumber(errno, 'recvmsg');
  }
  if (msghdr.decode(message).msg_controllen < BigInt(cmsghdr.fields.fd.offset + cmsghdr.fields.fd.size)) return undefined;
  const header = cmsghdr.decode(control);
  return header.cmsg_level === SOL_SOCKET && header.cmsg_type === SCM_RIGHTS ? header.fd : undefined;
}
