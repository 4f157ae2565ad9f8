/** Netlink sockets. Source: man 7 netlink. */
import { ERRNO, Errno } from '../abi/errno.js';
import { AF_NETLINK, NLMSG_ERROR, NLM_F_ACK, NLM_F_REQUEST, SOCK_RAW, nlmsgerr, nlmsghdr, sockaddr_nl } from '../abi/netlink.js';
import type { Fd } from './fd.js';
import { readFd } from './io.js';
import { bind, lastErrno } from './libc.js';
import { openSocket } from './socket.js';

const cSendto = bind('sendto', 'long', ['int', 'pointer', 'size', 'int', 'pointer', 'uint']);

const SOCK_NONBLOCK = 0o4000;
/** Room for an answer without its request, bytes. */
const ANSWER = 4096;

export class NetlinkSocket {
  readonly #fd: Fd;

  /** In this thread's network namespace. Throws EPROTONOSUPPORT, EPERM. */
  constructor(protocol: number) {
    this.#fd = openSocket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, protocol);
  }

  /** Asks the kernel for something, and throws the errno of its answer. */
  request(type: number, payload: Uint8Array): void {
    const length = nlmsghdr.size + payload.length;
    const header = nlmsghdr.encode({ nlmsg_len: length, nlmsg_type: type, nlmsg_flags: NLM_F_REQUEST | NLM_F_ACK });
    this.#send(Buffer.concat([header, payload]), 0);
    // The kernel has answered by the time that sending is over.
    const answer = new Uint8Array(ANSWER);
    const size = readFd(this.#fd.fd, answer, answer.length);
    if (size < 0) throw Errno.fromNumber(-size, 'netlink');
    if (size < nlmsghdr.size + nlmsgerr.size || nlmsghdr.decode(answer).nlmsg_type !== NLMSG_ERROR) throw new Errno('EPROTO', 'netlink');
    const { error } = nlmsgerr.decode(answer, nlmsghdr.size);
    if (error !== 0) throw Errno.fromNumber(-error, 'netlink');
  }

  /** To whoever has joined one of `groups`, a bit each; nobody is fine. Throws EPERM, ENOBUFS where somebody missed it. */
  multicast(groups: number, message: Uint8Array): void {
    try {
      this.#send(message, groups);
    } catch (error) {
      if (!(error instanceof Errno) || error.errno !== ERRNO.ECONNREFUSED) throw error;
    }
  }

  close(): void {
    this.#fd.close();
  }

  #send(message: Uint8Array, groups: number): void {
    const address = sockaddr_nl.encode({ nl_family: AF_NETLINK, nl_groups: groups });
    if (cSendto(this.#fd.fd, message, message.length, 0, address, address.length) < 0) throw Errno.fromNumber(lastErrno(), 'sendto');
  }
}
