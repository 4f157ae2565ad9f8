/**
 * seccomp user notifications: a process lets another one, its supervisor, answer some of its ioctls, and put descriptors into it.
 * Sources: kernel/seccomp.c, Documentation/userspace-api/seccomp_filter.rst.
 */
import { readlinkSync } from 'node:fs';
import { ERRNO, Errno } from '../abi/errno.js';
import {
  AUDIT_ARCH_AARCH64, AUDIT_ARCH_X86_64, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_FILTER_FLAG_NEW_LISTENER,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_IOCTL_NOTIF_ADDFD, SECCOMP_IOCTL_NOTIF_ID_VALID, SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_RET_ALLOW,
  SECCOMP_RET_USER_NOTIF, SECCOMP_SET_MODE_FILTER, SECCOMP_USER_NOTIF_FLAG_CONTINUE, seccomp_data, seccomp_notif, seccomp_notif_addfd,
  seccomp_notif_resp, sock_filter, sock_fprog,
} from '../abi/seccomp.js';
import { Fd } from './fd.js';
import { ioctlFd, O_CLOEXEC, pollFd, POLLHUP, POLLIN } from './io.js';
import { addressOf, bind, check, syscallNumber } from './libc.js';

const cSeccomp = bind('syscall', 'long', ['long', 'uint', 'uint', 'pointer']);
const AUDIT_ARCH = process.arch === 'arm64' ? AUDIT_ARCH_AARCH64 : AUDIT_ARCH_X86_64;
/** What /proc says of one. */
const LINK = 'anon_inode:seccomp notify';

/** A program that asks the listener about these ioctl commands, and about no other system call. */
function filterFor(commands: readonly number[]): Uint8Array {
  const load = (offset: number): object => ({ code: BPF_LD | BPF_W | BPF_ABS, k: offset });
  const unlessEqual = (k: number, jf: number): object => ({ code: BPF_JMP | BPF_JEQ | BPF_K, k, jf });
  const whenEqual = (k: number, jt: number): object => ({ code: BPF_JMP | BPF_JEQ | BPF_K, k, jt });
  const result = (k: number): object => ({ code: BPF_RET | BPF_K, k });
  const { arch, nr, args } = seccomp_data.fields;
  const count = commands.length;
  const program = [
    load(arch.offset), unlessEqual(AUDIT_ARCH, count + 3),
    load(nr.offset), unlessEqual(syscallNumber('ioctl'), count + 1),
    // The kernel looks at the lower 32 bits of the second argument.
    load(args.offset + 8), ...commands.map((command, at) => whenEqual(command, count - at)),
    result(SECCOMP_RET_ALLOW), result(SECCOMP_RET_USER_NOTIF),
  ];
  return Buffer.concat(program.map((instruction) => sock_filter.encode(instruction)));
}

/**
 * From now on the calling thread, and what it executes and forks, waits at these ioctl commands for who reads from the
 * descriptor that is returned, and gets ENOSYS where nobody can any more. There is no way back. Throws EBUSY where there is
 * a listener already, EACCES without CAP_SYS_ADMIN (and no_new_privs), EINVAL before Linux 5.19, ENOSYS without seccomp.
 */
export function listenToIoctls(commands: readonly number[]): Fd {
  const filter = filterFor(commands);
  const program = sock_fprog.encode({ len: filter.length / sock_filter.size, filter: addressOf(filter) });
  const flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  return new Fd(check(cSeccomp(syscallNumber('seccomp'), SECCOMP_SET_MODE_FILTER, flags, program), 'seccomp'));
}

/** Whether a descriptor of this process is a listener. */
export const isListener = (fd: number): boolean => readlinkSync(`/proc/self/fd/${fd}`) === LINK;

/** An ioctl that waits. */
export interface Notification {
  readonly id: bigint;
  readonly tid: number;
  readonly fd: number;
  readonly command: number;
  readonly argument: bigint;
}

/** The supervisor's end. Calls of which nothing is heard any more fail with ENOENT: their thread was killed. */
export class Listener {
  readonly #fd: Fd;

  /** Takes ownership. */
  constructor(fd: Fd) {
    this.#fd = fd;
  }

  /** For the event loop: readable when there is a call, hung up when nobody is left who could make one. */
  get fd(): number {
    return this.#fd.fd;
  }

  get hungUp(): boolean {
    return (pollFd(this.fd, 0, 0) & POLLHUP) !== 0;
  }

  /** The next call, or undefined when there is none. */
  receive(): Notification | undefined {
    const data = new Uint8Array(seccomp_notif.size);
    while ((pollFd(this.fd, POLLIN, 0) & POLLIN) !== 0) {
      try {
        ioctlFd(this.fd, SECCOMP_IOCTL_NOTIF_RECV, data);
      } catch (error) {
        // It was taken back meanwhile.
        if (error instanceof Errno && (error.code === 'ENOENT' || error.code === 'EINTR')) continue;
        throw error;
      }
      const { id, pid, data: { args: [fd = 0n, command = 0n, argument = 0n] } } = seccomp_notif.decode(data);
      return { id, tid: pid, fd: Number(BigInt.asIntN(32, fd)), command: Number(BigInt.asUintN(32, command)), argument };
    }
    return undefined;
  }

  /** Whether the call waits still. */
  waits(id: bigint): boolean {
    try {
      ioctlFd(this.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, new Uint8Array(BigUint64Array.of(id).buffer));
      return true;
    } catch {
      return false;
    }
  }

  /** Opens our `fd` in the caller, close-on-exec, at its lowest free number, which is returned. Throws EMFILE, ENOENT. */
  addFd(id: bigint, fd: number): number {
    return ioctlFd(this.fd, SECCOMP_IOCTL_NOTIF_ADDFD, seccomp_notif_addfd.encode({ id, srcfd: fd, newfd_flags: O_CLOEXEC }));
  }

  /** The call returns that. Throws ENOENT. */
  succeed(id: bigint, value: number): void {
    this.#send({ id, val: BigInt(value) });
  }

  /** Throws ENOENT. */
  fail(id: bigint, { code }: Errno): void {
    this.#send({ id, error: -ERRNO[code] });
  }

  /** The kernel carries it out as if it had not asked. Throws ENOENT. */
  proceed(id: bigint): void {
    this.#send({ id, flags: SECCOMP_USER_NOTIF_FLAG_CONTINUE });
  }

  /** What waits, and whatever comes, fails with ENOSYS. */
  close(): void {
    this.#fd.close();
  }

  #send(response: Parameters<typeof seccomp_notif_resp.encode>[0]): void {
    ioctlFd(this.fd, SECCOMP_IOCTL_NOTIF_SEND, seccomp_notif_resp.encode(response));
  }
}
