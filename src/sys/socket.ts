/** Stream sockets, and descriptors passed through them. Source: include/linux/socket.h, man 3 cmsg. */
import { lstatSync, readdirSync, unlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import { ERRNO, Errno } from '../abi/errno.js';
import { s32, struct, u32, u64 } from '../abi/layout.js';
import { duplicate, Fd } from './fd.js';
import { encodeIovec } from './iovec.js';
import { strerror } from './strerror.js';
import { addressOf, bind, check, lastErrno } from './libc.js';

const cSocket = bind('socket', 'int', ['int', 'int', 'int']);
const cSocketpair = bind('socketpair', 'int', ['int', 'int', 'int', 'pointer']);
const cShutdown = bind('shutdown', 'int', ['int', 'int']);
const cSetsockopt = bind('setsockopt', 'int', ['int', 'int', 'int', 'pointer', 'uint']);
const cGetsockopt = bind('getsockopt', 'int', ['int', 'int', 'int', 'pointer', 'pointer']);
const cSendmsg = bind('sendmsg', 'long', ['int', 'pointer', 'int']);
const cRecvmsg = bind('recvmsg', 'long', ['int', 'pointer', 'int']);

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SHUT_WR = 1;
const SHUT_RDWR = 2;
const SO_TYPE = 3;
const SO_DOMAIN = 39;
const SO_SNDBUF = 7;
/** Beyond what net.core.wmem_max allows everybody; needs CAP_NET_ADMIN. */
const SO_SNDBUFFORCE = 32;

const msghdr = struct('msghdr', {
  msg_name: u64, msg_namelen: u32, pad: u32, msg_iov: u64, msg_iovlen: u64, msg_control: u64, msg_controllen: u64, msg_flags: s32,
});
const cmsghdr = struct('cmsghdr', { cmsg_len: u64, cmsg_level: s32, cmsg_type: s32 });
/** Descriptors taken from one message, as in QEMU; the kernel keeps what there is no room for to itself. */
const MAX_DESCRIPTORS = 16;
const DESCRIPTOR = 4;

/** Bytes of sun_path, which Node fills with a 0 at the end. */
const MAX_PATH = 107;

/** Throws an Error of QEMU's text where a UNIX socket can't have this path: Node would cut it off without a word. */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > MAX_PATH) throw new Error(`UNIX socket path '${path}' is too long`);
}

/**
 * Takes a socket file away that another process has left there, or has there, as QEMU does before it listens; no other file. Throws
 * an Error of QEMU's text.
 */
export function removeSocketFile(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  try {
    unlinkSync(path);
  } catch (error) {
    throw new Error(`Failed to unlink socket ${path}: ${strerror(-((error as NodeJS.ErrnoException).errno ?? 0))}`, { cause: error });
  }
}

/** socket(2), close-on-exec. Throws the errno. */
export const openSocket = (family: number, type: number, protocol: number): Fd =>
  new Fd(check(cSocket(family, type | SOCK_CLOEXEC, protocol), 'socket'));

/** Two connected stream sockets, close-on-exec. */
export function socketPair(): [Fd, Fd] {
  const pair = new Int32Array(2);
  check(cSocketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, new Uint8Array(pair.buffer)), 'socketpair');
  return [new Fd(pair[0] as number), new Fd(pair[1] as number)];
}

/** Whether `fd` is open, and a stream socket. */
export const isStreamSocket = (fd: number): boolean => socketOption(fd, SO_TYPE) === SOCK_STREAM;

/** Stream sockets that this process has now, but for stdin, stdout and stderr. */
export function openStreamSockets(): number[] {
  return readdirSync('/proc/self/fd').map(Number).filter((fd) => fd > 2 && isStreamSocket(fd));
}

/** Whether `fd` is a socket that descriptors can be passed through. */
export const isUnixSocket = (fd: number): boolean => socketOption(fd, SO_DOMAIN) === AF_UNIX;

function socketOption(fd: number, option: number): number | undefined {
  const value = new Uint8Array(4);
  return cGetsockopt(fd, SOL_SOCKET, option, value, Uint8Array.of(value.length, 0, 0, 0)) === 0 ? value[0] : undefined;
}

/** How many bytes may be under way in a socket; as many as the machine allows, where that is less. */
export function setSendBuffer(fd: number, size: number): void {
  const value = new Uint8Array(Int32Array.of(size).buffer);
  if (cSetsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, value, value.length) !== 0) {
    cSetsockopt(fd, SOL_SOCKET, SO_SNDBUF, value, value.length);
  }
}

/** Nothing more is sent: the peer reads the end after what was. */
export function shutdownWriting(fd: number): void {
  cShutdown(fd, SHUT_WR);
}

/** Nothing goes either way any more, also for others who have the same socket. */
export function shutdownBoth(fd: number): void {
  cShutdown(fd, SHUT_RDWR);
}

/**
 * The descriptor of a connected socket, instead of the socket, which may have read nothing yet: Node's own stream costs more than
 * the bytes. Undefined where the connection is gone already, or no descriptor is left for it: the peer sees it closed. Source: Node's
 * lib/net.js, `_handle`, which is not documented.
 */
export function takeSocket(socket: Socket): Fd | undefined {
  const fd = (socket as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;
  try {
    return fd < 0 ? undefined : duplicate(fd);
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}

/** CMSG_ALIGN */
const align = (size: number): number => (size + 7) & ~7;

/** One sendmsg(2) that does not wait, of bytes and descriptors, which stay the caller's too. Bytes sent, or -errno. */
export function sendWithDescriptors(socket: number, data: Uint8Array, fds: readonly number[]): number {
  const numbers = new Uint8Array(Int32Array.from(fds).buffer);
  const control = new Uint8Array(align(cmsghdr.size + numbers.length));
  control.set(cmsghdr.encode({ cmsg_len: BigInt(cmsghdr.size + numbers.length), cmsg_level: SOL_SOCKET, cmsg_type: SCM_RIGHTS }));
  control.set(numbers, cmsghdr.size);
  const vector = encodeIovec(data);
  const message = msghdr.encode({
    msg_iov: addressOf(vector), msg_iovlen: 1n, msg_control: addressOf(control), msg_controllen: BigInt(control.length),
  });
  const size = cSendmsg(socket, message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return size < 0 ? -lastErrno() : size;
}

export interface Received {
  /** Bytes; 0 at the end of the stream; or -errno. */
  readonly size: number;
  /** That came with them: the caller's, close-on-exec. */
  readonly descriptors: readonly Fd[];
}

/** One recvmsg(2) that does not wait. */
export function receive(socket: number, data: Uint8Array): Received {
  const control = new Uint8Array(cmsghdr.size + MAX_DESCRIPTORS * DESCRIPTOR);
  const vector = encodeIovec(data);
  const message = msghdr.encode({
    msg_iov: addressOf(vector), msg_iovlen: 1n, msg_control: addressOf(control), msg_controllen: BigInt(control.length),
  });
  const size = cRecvmsg(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return { size: -lastErrno(), descriptors: [] };
  if (msghdr.decode(message).msg_controllen < BigInt(cmsghdr.size)) return { size, descriptors: [] };
  const { cmsg_level, cmsg_type, cmsg_len } = cmsghdr.decode(control);
  if (cmsg_level !== SOL_SOCKET || cmsg_type !== SCM_RIGHTS) return { size, descriptors: [] };
  const numbers = new Int32Array(control.buffer, cmsghdr.size, (Number(cmsg_len) - cmsghdr.size) / DESCRIPTOR);
  return { size, descriptors: Array.from(numbers, (number) => new Fd(number)) };
}

/** The descriptor in the message that waits in the socket, close-on-exec; undefined when there is none. Does not block. */
export function receiveFd(socket: number): Fd | undefined {
  const { size, descriptors: [first, ...others] } = receive(socket, new Uint8Array(16));
  for (const fd of others) fd.close();
  if (size < 0 && size !== -ERRNO.EAGAIN) throw Errno.fromNumber(-size, 'recvmsg');
  return first;
}
