"""What clients of a supervising server see of the descriptors that they are given: client-given.py LAB CASE."""
import array
import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

GET_DEVICE_FD, FEATURE = 0x3b6a, 0x3b75
SET_STATE = 1 << 17 | 2
lab, case = sys.argv[1:3]
libc = ctypes.CDLL(None, use_errno=True)


def ioctl(fd, command, argument=0):
    result = libc.ioctl(fd, ctypes.c_ulong(command), argument)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]


def say(*words):
    print(*words, flush=True)


def state(fd, number, flags=SET_STATE):
    data = ctypes.create_string_buffer(struct.pack("IIIi", 16, flags, number, -1), 16)
    result = ioctl(fd, FEATURE, data)
    return result if result != 0 else struct.unpack("IIIi", data.raw)[3]


def attempt(call, *args):
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]


device = os.open(lab + "/device", os.O_RDWR)


def lowest_number():
    os.closerange(device + 1, 1024)
    first, second = ioctl(device, GET_DEVICE_FD), ioctl(device, GET_DEVICE_FD)
    say(first - device, second - device, fcntl.fcntl(first, fcntl.F_GETFD), oct(os.fstat(first).st_mode))
    say(os.pread(first, 64, 0).decode(), os.read(second, 64).decode())
    os.close(first)
    say(ioctl(device, GET_DEVICE_FD) - device)


def python_child():
    code = "import sys; sys.argv[1:] = %r; exec(open(%r).read())" % ([lab, "lowest_number"], sys.argv[0])
    subprocess.run([sys.executable, "-c", code], check=True)


def streams():
    for number in (3, 4, 6, 7):
        fd = state(device, number)
        say(number, fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE, attempt(os.pread, fd, 1, 0), attempt(os.lseek, fd, 0, 0),
            attempt(os.read, fd, 64), attempt(os.write, fd, b"x"))
        os.close(fd)
    say(state(device, 2), state(device, 99), state(device, 3, 1 << 16 | 2), ioctl(device, FEATURE, ctypes.c_void_p(1)))


def failures():
    say(state(device, 7, SET_STATE | 1 << 18))
    say(ioctl(os.open("/dev/null", os.O_RDWR), GET_DEVICE_FD), ioctl(999, GET_DEVICE_FD))
    free = os.dup(device)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, 4096))
    say(ioctl(device, GET_DEVICE_FD))


def copies():
    fd = ioctl(device, GET_DEVICE_FD)
    os.dup2(fd, 77)
    os.close(fd)
    say("copied")
    sys.stdin.readline()
    say(os.read(77, 64).decode())
    os.close(77)
    say("closed")
    sys.stdin.readline()


def forked():
    fd = ioctl(device, GET_DEVICE_FD)
    child = os.fork()
    if child > 0:
        os.waitpid(child, os.WUNTRACED)
        say("stopped", child)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP)
    say(os.read(fd, 64).decode())


def executed():
    fd = ioctl(device, GET_DEVICE_FD)
    say("given", fd > 2)
    sys.stdin.readline()
    os.execv("/bin/sh", ["sh", "-c", "echo executed; read line; ls -l /proc/self/fd | grep -c given"])


def passed():
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        theirs.close()
        sys.stdin.readline()
        _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
        say(os.read(array.array("i", ancillary[0][2])[0], 64).decode())
        os._exit(0)
    fd = ioctl(device, GET_DEVICE_FD)
    theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.close(fd)
    say("sent")
    os.wait()


def signals():
    hits = []
    signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    given = []
    while len(given) < 100:
        fd = ioctl(device, GET_DEVICE_FD)
        if fd != "EINTR":
            given.append(fd)
    signal.setitimer(signal.ITIMER_REAL, 0)
    say(given == list(range(given[0], given[0] + 100)), len(hits) > 0)


def threads():
    given = []
    workers = [threading.Thread(target=lambda: given.extend(ioctl(device, GET_DEVICE_FD) for _ in range(50))) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    say(len(set(given)), all(os.read(fd, 64).startswith(b"file ") for fd in given))


def exec_while_given():
    for _ in range(30):
        if os.fork() > 0:
            say(os.waitstatus_to_exitcode(os.wait()[1]))
            continue
        for _ in range(3):
            threading.Thread(target=lambda: [ioctl(device, GET_DEVICE_FD) for _ in range(10000)], daemon=True).start()
        time.sleep(0.02)
        os.execv("/bin/true", ["true"])


def waiting():
    say("asking")
    say(state(device, 7))


globals()[case]()
