import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import type { ErrnoName } from '../../src/abi/errno.js';
import { getAffinity, setAffinity } from '../../src/sys/affinity.js';
import { createEventfd, drainEventfd, kernelSignal, signalByWrite, signalEventfd } from '../../src/sys/eventfd.js';
import { exec } from '../../src/sys/exec.js';
import { Fd, closeFd, dupTo } from '../../src/sys/fd.js';
import { POLLIN, ioctlFd, openFd, pollFd, readFd, setNonBlocking, writeFd, writeFd2, writeFdAsync } from '../../src/sys/io.js';
import { addressOf } from '../../src/sys/libc.js';
import { mount, umount, umountAsync } from '../../src/sys/mount.js';
import {
  openPidfd, readFdInfo, readProcFile, readProcessMemory, takeProcessFd, threadGroupOf, writeProcessMemory,
} from '../../src/sys/process.js';
import { receiveFd, socketPair } from '../../src/sys/socket.js';
import { watchReadable } from '../../src/sys/watch.js';

const throwsErrno = (run: () => unknown, code: ErrnoName): void => assert.throws(run, (error) => isErrno(error, code));
const FIONBIO = 0x5421;
const FULL = 0xfffffffffffffffen;
const words = (value: bigint): Uint8Array => new Uint8Array(new BigUint64Array([value]).buffer);
const GONE = 0x3fffff;
/** Not by closing it again: by now the number may be the test runner's. */
const isGone = (number: number): void => assert.notEqual(readFdInfo(process.pid, number)?.eventfd, true);

suite('Fd', () => {
  test('close() is idempotent, and the number is EBADF afterwards', () => {
    const fd = createEventfd();
    const number = fd.fd;
    fd.close();
    fd.close();
    assert.equal(fd.closed, true);
    throwsErrno(() => fd.fd, 'EBADF');
    isGone(number);
  });

  test('detach() gives the ownership away', () => {
    const fd = createEventfd();
    const number = fd.detach();
    assert.equal(fd.closed, true);
    closeFd(number);
  });

  test('closeAsync() closes on a worker', async () => {
    const fd = createEventfd();
    const number = fd.fd;
    await fd.closeAsync();
    isGone(number);
  });

  test('dupTo() makes a second descriptor at that number', () => {
    using fd = createEventfd();
    dupTo(fd.fd, 321);
    signalEventfd(321);
    assert.equal(drainEventfd(fd.fd), 1n);
    closeFd(321);
  });
});

suite('eventfd', () => {
  test('signals add up and are drained together', () => {
    using fd = createEventfd();
    assert.equal(drainEventfd(fd.fd), 0n);
    signalEventfd(fd.fd);
    signalEventfd(fd.fd);
    assert.equal(pollFd(fd.fd, POLLIN, 0), POLLIN);
    assert.equal(drainEventfd(fd.fd), 2n);
    assert.equal(pollFd(fd.fd, POLLIN, 0), 0);
  });

  for (const [title, blocking] of [['a full counter', false], ['a full counter of a blocking eventfd', true]] as const) {
    test(`${title} stays full, which is no error and no wait`, () => {
      using fd = createEventfd();
      if (blocking) ioctlFd(fd.fd, FIONBIO, new Uint8Array(4));
      assert.equal(writeFd(fd.fd, words(FULL), 8), 8);
      signalByWrite(fd.fd);
      assert.equal(drainEventfd(fd.fd), FULL);
    });
  }

  test('the kernel signals without asking whether the counter is full', { skip: kernelSignal() === undefined && 'no AIO' }, () => {
    using fd = createEventfd();
    ioctlFd(fd.fd, FIONBIO, new Uint8Array(4));
    assert.equal(writeFd(fd.fd, words(FULL), 8), 8);
    signalEventfd(fd.fd);
    signalEventfd(fd.fd);
    assert.equal(drainEventfd(fd.fd), FULL + 1n);
  });

  test('more signals than the kernel keeps completions of', () => {
    using fd = createEventfd();
    for (let i = 0; i < 5000; i++) signalEventfd(fd.fd);
    assert.equal(drainEventfd(fd.fd), 5000n);
  });

  test('what is no eventfd can\'t be signalled', () => {
    using fd = new Fd(openFd('/dev/null', 0));
    throwsErrno(() => signalEventfd(fd.fd), 'EINVAL');
  });

  test('watchReadable() calls back on the event loop', async () => {
    using fd = createEventfd();
    const seen = new Promise<bigint>((resolve) => {
      const watch = watchReadable(fd.fd, () => {
        watch.close();
        resolve(drainEventfd(fd.fd));
      });
    });
    signalEventfd(fd.fd);
    assert.equal(await seen, 1n);
  });
});

suite('reads and writes', () => {
  test('a negative result is the errno', () => {
    const data = new Uint8Array(8);
    assert.equal(readFd(-1, data, 8), -9);
    assert.equal(writeFd(-1, data, 8), -9);
    using fd = createEventfd();
    assert.equal(readFd(fd.fd, data, 8), -11);
  });

  test('writeFd2() writes two buffers at once', () => {
    const [one, other] = socketPair();
    const head = Buffer.from('head....');
    assert.equal(writeFd2(one.fd, head, 4, Buffer.from('body')), 8);
    const data = Buffer.alloc(16);
    assert.equal(readFd(other.fd, data, 16), 8);
    assert.equal(data.toString('utf8', 0, 8), 'headbody');
    one.close();
    other.close();
  });

  test('writeFdAsync() rejects with the errno of the worker\'s call', async () => {
    await assert.rejects(writeFdAsync(-1, new Uint8Array(1)), (error) => isErrno(error, 'EBADF'));
  });

  test('a thousand calls on workers at once all end', async () => {
    const call = (): Promise<unknown> => writeFdAsync(-1, new Uint8Array(1)).catch(() => 'failed');
    const results = await Promise.all(Array.from({ length: 1000 }, call));
    assert.ok(results.every((result) => result === 'failed'));
  });

  test('openFd() rejects a missing file with ENOENT, ioctlFd() a strange number with ENOTTY', () => {
    throwsErrno(() => openFd('/nonexistent', 0), 'ENOENT');
    using fd = new Fd(openFd('/dev/null', 0));
    throwsErrno(() => ioctlFd(fd.fd, 0x3b64, null), 'ENOTTY');
    setNonBlocking(fd.fd);
  });

  test('receiveFd() is undefined without a message, or without a descriptor in it', () => {
    const [one, other] = socketPair();
    assert.equal(receiveFd(one.fd), undefined);
    writeFd(other.fd, Buffer.from('x'), 1);
    assert.equal(receiveFd(one.fd), undefined);
    one.close();
    other.close();
  });
});

suite('processes', () => {
  for (const size of [1, 4096, 4097, (1 << 20) + 1]) {
    test(`${size} bytes of memory are written and read`, () => {
      const target = new Uint8Array(size);
      const data = new Uint8Array(size).fill(5);
      writeProcessMemory(process.pid, addressOf(target), data);
      assert.ok(Buffer.from(data).equals(target));
      assert.ok(Buffer.from(data).equals(readProcessMemory(process.pid, addressOf(target), size)));
    });
  }

  test('nothing is read from or written to address 0 when the length is 0', () => {
    assert.equal(readProcessMemory(process.pid, 0n, 0).length, 0);
    writeProcessMemory(process.pid, 0n, new Uint8Array(0));
  });

  const BAD: [string, bigint, number, ErrnoName][] = [
    ['an unmapped address', 4096n, 1, 'EFAULT'], ['a negative address', -1n, 1, 'EFAULT'],
    ['the end of the space', (1n << 64n) - 4n, 8, 'EFAULT'],
    ['4 GiB', 4096n, 2 ** 32, 'ENOMEM'], ['64 MiB of which the first byte is not there', 4096n, 1 << 26, 'EFAULT'],
  ];
  for (const [what, address, length, code] of BAD) {
    test(`readProcessMemory() rejects ${what} with ${code}`, () => {
      throwsErrno(() => readProcessMemory(process.pid, address, length), code);
    });
  }

  test('a process that does not exist: ESRCH, undefined', () => {
    throwsErrno(() => readProcessMemory(GONE, 4096n, 1), 'ESRCH');
    throwsErrno(() => openPidfd(GONE), 'ESRCH');
    assert.equal(threadGroupOf(GONE), undefined);
    assert.equal(readFdInfo(GONE, 0), undefined);
    assert.equal(readProcFile(`/proc/${GONE}/status`), undefined);
  });

  test('takeProcessFd() copies another process\'s descriptor', async () => {
    const child = spawn('sh', ['-c', 'echo here; read line'], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    const pid = child.pid ?? 0;
    assert.equal(threadGroupOf(pid), pid);
    const copy = takeProcessFd(pid, 1);
    assert.equal(readFdInfo(process.pid, copy.fd)?.ino, readFdInfo(pid, 1)?.ino);
    copy.close();
    throwsErrno(() => takeProcessFd(pid, 99), 'EBADF');
    assert.equal(readFdInfo(pid, 99), undefined);
    const closed = once(child, 'close');
    child.stdin.end('\n');
    await closed;
  });

  test('fdinfo tells eventfds and flags', () => {
    using fd = createEventfd();
    assert.equal(readFdInfo(process.pid, fd.fd)?.eventfd, true);
    using file = new Fd(openFd('/dev/null', 1));
    const info = readFdInfo(process.pid, file.fd);
    assert.deepEqual([info?.eventfd, (info?.flags ?? 0) & 3], [false, 1]);
  });

  test('affinity is read and set', () => {
    const cpus = getAffinity();
    assert.ok(cpus.length > 0);
    setAffinity(cpus);
    assert.deepEqual(getAffinity(), cpus);
    throwsErrno(() => setAffinity([]), 'EINVAL');
  });

  test('exec() rejects a missing program with ENOENT and a directory with EACCES', () => {
    throwsErrno(() => exec('/nonexistent', ['x'], {}), 'ENOENT');
    throwsErrno(() => exec('/tmp', ['x'], {}), 'EACCES');
  });
});

test('mount() and umount() reject what is not there', async () => {
  throwsErrno(() => mount('x', '/nonexistent', 'tmpfs', 0), process.getuid?.() === 0 ? 'ENOENT' : 'EPERM');
  if (process.getuid?.() !== 0) return;
  throwsErrno(() => umount('/nonexistent'), 'ENOENT');
  await assert.rejects(umountAsync('/nonexistent'), (error) => isErrno(error, 'ENOENT'));
});
