/**
 * Uevents on the netlink socket where programs listen for them. The kernel takes a uevent from who may administer the network
 * namespace and broadcasts it there as its own (lib/kobject_uevent.c: uevent_net_rcv(), since Linux 4.18), with a SEQNUM of its own.
 */
import { Errno, isErrno } from '../abi/errno.js';
import { NETLINK_KOBJECT_UEVENT, NLMSG_MIN_TYPE } from '../abi/netlink.js';
import { ueventBody } from '../device/uevent.js';
import type { Uevent } from '../device/uevent.js';
import { NetlinkSocket } from '../sys/netlink.js';
import { warn } from '../trace/trace.js';
import type { UeventAudience } from './audience.js';
import { udevMessage } from './udev-message.js';

/** Group 2 of device-monitor.c, as a bit. */
const MONITOR_GROUP_UDEV = 2;
/** A group that nobody can join, as a bit. */
const NOBODY = 1 << 30;
/** More than the kernel takes in one message (UEVENT_BUFFER_SIZE), bytes. */
const TOO_LONG = 4096;

export class UeventSocket {
  readonly #socket = new NetlinkSocket(NETLINK_KOBJECT_UEVENT);
  readonly #audience: UeventAudience;
  #failed = false;

  /** Throws EPERM where this process may not. */
  constructor(audience: UeventAudience) {
    this.#audience = audience;
    try {
      if (audience === 'udev') this.#socket.multicast(NOBODY, Uint8Array.of(0));
      // Whoever may is told EINVAL.
      this.#socket.request(NLMSG_MIN_TYPE, new Uint8Array(TOO_LONG));
    } catch (error) {
      if (isErrno(error, 'EINVAL')) return;
      this.#socket.close();
      if (!isErrno(error, 'EPERM')) throw error;
      const needed = audience === 'udev' ? 'CAP_SYS_ADMIN and CAP_NET_ADMIN' : 'CAP_SYS_ADMIN';
      throw new Errno('EPERM', `sending uevents takes ${needed} in the user namespace that owns the network namespace`);
    }
  }

  /** What goes wrong is logged once. */
  send(event: Uevent): void {
    try {
      this.#socket.request(NLMSG_MIN_TYPE, Buffer.from(ueventBody(event)));
      if (this.#audience === 'udev') this.#socket.multicast(MONITOR_GROUP_UDEV, udevMessage(event, process.hrtime.bigint() / 1000n));
    } catch (error) {
      if (!this.#failed) warn(`a uevent could not be sent: ${isErrno(error) ? error.code : String(error)}`);
      this.#failed = true;
    }
  }

  close(): void {
    this.#socket.close();
  }
}
