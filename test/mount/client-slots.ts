/**
 * A client with slots, driven by lines on stdin: each is `command arguments`, answered with one line.
 * Arguments on the command line: the lab, the first number, how many slots, and optionally `cloexec`.
 */
import { createInterface } from 'node:readline';
import { spawnSync } from 'node:child_process';
import { isErrno } from '../../src/abi/errno.js';
import { closeFd, dupTo } from '../../src/sys/fd.js';
import { openFd, readFd, setCloseOnExec, writeFd } from '../../src/sys/io.js';
import { bind, lastErrno } from '../../src/sys/libc.js';

const [lab = '', first = '600', count = '2', cloexec] = process.argv.slice(2);
const O_RDWR = 2;
const ioctl = bind('ioctl', 'int', ['int', 'ulong', 'ulong']);
const token = process.pid.toString(36);

for (let fd = Number(first); fd < Number(first) + Number(count); fd++) {
  const slot = openFd(`${lab}/.slots/${fd}-${token}`, O_RDWR);
  dupTo(slot, fd);
  closeFd(slot);
  setCloseOnExec(fd, cloexec === 'cloexec');
}
const device = openFd(`${lab}/device`, O_RDWR);

const commands: Record<string, (...args: number[]) => string> = {
  /** Asks for a file; its number or the errno. */
  get: () => {
    const fd = ioctl(device, 0x3bf1, 0);
    return String(fd < 0 ? -lastErrno() : fd);
  },
  /** Which file the device sees behind one of our numbers. */
  which: (fd = 0) => String(ioctl(device, 0x3bf2, fd)),
  read: (fd = 0) => {
    const data = Buffer.alloc(64);
    const size = readFd(fd, data, data.length);
    return size < 0 ? String(size) : data.toString('utf8', 0, size);
  },
  write: (fd = 0) => String(writeFd(fd, Buffer.from('x'), 1)),
  close: (fd = 0) => {
    closeFd(fd);
    return 'closed';
  },
  dup: (from = 0, to = 0) => {
    dupTo(from, to);
    return 'done';
  },
  open: () => String(openFd(`${lab}/device`, O_RDWR)),
  /** A child that inherits everything and ends at once. */
  child: () => spawnSync('true', { stdio: 'ignore' }).status === 0 ? 'done' : 'failed',
};

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [name = '', ...args] = line.split(' ');
  try {
    console.log(`= ${commands[name]?.(...args.map(Number)) ?? 'unknown'}`);
  } catch (error) {
    console.log(`= ${isErrno(error) ? error.code : String(error)}`);
  }
}
