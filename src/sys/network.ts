/** A network namespace of one's own. Sources: include/uapi/linux/if.h, man 7 netdevice. */
import { isErrno } from '../abi/errno.js';
import { ioctlFd } from './io.js';
import { unshare } from './mount.js';
import { openSocket } from './socket.js';

export const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;
/** struct ifreq: sizeof, and where ifr_flags is, a short. */
const IFREQ = 40;
const IFR_FLAGS = 16;

/**
 * This thread, and what it starts, gets a network with nothing but `lo` in it, which is up where CAP_NET_ADMIN is there. Throws EPERM without
 * CAP_SYS_ADMIN.
 */
export function enterOwnNetwork(): void {
  unshare(CLONE_NEWNET);
  using socket = openSocket(AF_INET, SOCK_DGRAM, 0);
  const request = Buffer.alloc(IFREQ);
  request.write('lo');
  request.writeInt16LE(IFF_UP, IFR_FLAGS);
  try {
    ioctlFd(socket.fd, SIOCSIFFLAGS, request);
  } catch (error) {
    if (!isErrno(error, 'EPERM')) throw error;
  }
}
