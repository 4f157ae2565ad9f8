/**
 * seccomp's user notifications, and the BPF that asks for them. Sources: include/uapi/linux/seccomp.h, filter.h, bpf_common.h,
 * audit.h.
 */
import { IOC_READ, IOC_WRITE, ioc } from './ioctl.js';
import { s32, s64, struct, u16, u32, u64, u64s, u8 } from './layout.js';

export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3;
/** Since Linux 5.19. Once the supervisor has read a notification, only a fatal signal takes it back. */
export const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5;
export const SECCOMP_RET_USER_NOTIF = 0x7fc00000;
export const SECCOMP_RET_ALLOW = 0x7fff0000;
/** The kernel carries the call out as if nobody had asked. */
export const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1 << 0;

export const seccomp_data = struct('seccomp_data', { nr: s32, arch: u32, instruction_pointer: u64, args: u64s(6) });
/** `pid` is a thread id in the reader's pid namespace, 0 where it has none there. */
export const seccomp_notif = struct('seccomp_notif', { id: u64, pid: u32, flags: u32, data: seccomp_data });
/** `error` is a negative errno. */
export const seccomp_notif_resp = struct('seccomp_notif_resp', { id: u64, val: s64, error: s32, flags: u32 });
export const seccomp_notif_addfd = struct('seccomp_notif_addfd', { id: u64, flags: u32, srcfd: u32, newfd: u32, newfd_flags: u32 });

const SECCOMP_IOC_MAGIC = 0x21;
export const SECCOMP_IOCTL_NOTIF_RECV = ioc(IOC_READ | IOC_WRITE, SECCOMP_IOC_MAGIC, 0, seccomp_notif.size);
export const SECCOMP_IOCTL_NOTIF_SEND = ioc(IOC_READ | IOC_WRITE, SECCOMP_IOC_MAGIC, 1, seccomp_notif_resp.size);
export const SECCOMP_IOCTL_NOTIF_ID_VALID = ioc(IOC_WRITE, SECCOMP_IOC_MAGIC, 2, u64.size);
export const SECCOMP_IOCTL_NOTIF_ADDFD = ioc(IOC_WRITE, SECCOMP_IOC_MAGIC, 3, seccomp_notif_addfd.size);

export const sock_filter = struct('sock_filter', { code: u16, jt: u8, jf: u8, k: u32 });
/** `filter` is a pointer. */
export const sock_fprog = struct('sock_fprog', { len: u16, filter: u64 });
export const BPF_LD = 0x00;
export const BPF_JMP = 0x05;
export const BPF_RET = 0x06;
export const BPF_W = 0x00;
export const BPF_ABS = 0x20;
export const BPF_JEQ = 0x10;
export const BPF_K = 0x00;

export const AUDIT_ARCH_X86_64 = 0xc000003e;
export const AUDIT_ARCH_AARCH64 = 0xc00000b7;
