/** Netlink, as far as uevents need it. Sources: include/uapi/linux/netlink.h, lib/kobject_uevent.c. */
import { s32, struct, u16, u32 } from './layout.js';

export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const NETLINK_KOBJECT_UEVENT = 15;
export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLMSG_ERROR = 2;
/** Smaller types are netlink's own. */
export const NLMSG_MIN_TYPE = 0x10;

export const sockaddr_nl = struct('sockaddr_nl', { nl_family: u16, nl_pad: u16, nl_pid: u32, nl_groups: u32 });
export const nlmsghdr = struct('nlmsghdr', { nlmsg_len: u32, nlmsg_type: u16, nlmsg_flags: u16, nlmsg_seq: u32, nlmsg_pid: u32 });
/** `error` is a negative errno, 0 for success; `msg` is the header of what it answers. */
export const nlmsgerr = struct('nlmsgerr', { error: s32, msg: nlmsghdr });
