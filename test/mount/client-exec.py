"""Stress: processes with bound close-on-exec slots call execve() while their other threads are in requests on the lab.

Arguments: the lab, how many processes at a time, how many rounds.
"""
import ctypes
import os
import sys
import threading

lab, width, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
libc = ctypes.CDLL(None)
GET, WHICH = 0x3bf1, 0x3bf2


def child(number):
    pool = range(700, 708)
    for fd in pool:
        slot = os.open("%s/.slots/%d-%dx%d" % (lab, fd, os.getpid(), number), os.O_RDWR)
        os.dup2(slot, fd, inheritable=fd % 2 == 0)
        os.close(slot)
    device = os.open(lab + "/device", os.O_RDWR)
    os.open(lab + "/device", os.O_RDWR)
    for _ in range(4):
        libc.ioctl(device, GET, ctypes.c_ulong(0))

    def ask():
        while True:
            libc.ioctl(device, WHICH, ctypes.c_ulong(device))
            libc.ioctl(device, WHICH, ctypes.c_ulong(700))

    for _ in range(2):
        threading.Thread(target=ask, daemon=True).start()
    os.execv("/bin/true", ["true"])


number = 0
for _ in range(rounds):
    pids = []
    for _ in range(width):
        number += 1
        pid = os.fork()
        if pid == 0:
            try:
                child(number)
            finally:
                os._exit(1)
        pids.append(pid)
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        if status != 0:
            print("child ended with", status)
            sys.exit(1)
print("all ended")
