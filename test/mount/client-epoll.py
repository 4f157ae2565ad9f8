"""A thread that is nearly always in epoll_wait() on files of the lab, while another one opens, asks about and closes given files.

Arguments: the lab, how many rounds.
"""
import ctypes
import os
import select
import sys
import threading

lab, rounds = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None)
GET, WHICH = 0x3bf1, 0x3bf2

for fd in range(700, 704):
    slot = os.open("%s/.slots/%d-%d" % (lab, fd, os.getpid()), os.O_RDWR)
    os.dup2(slot, fd)
    os.close(slot)
device = os.open(lab + "/device", os.O_RDWR)
epoll = select.epoll()
for _ in range(40):
    epoll.register(os.open(lab + "/device", os.O_RDWR), select.EPOLLIN)


def wait():
    while True:
        epoll.poll(0.01)


threading.Thread(target=wait, daemon=True).start()
for round in range(rounds):
    given = libc.ioctl(device, GET, ctypes.c_ulong(0))
    if libc.ioctl(device, WHICH, ctypes.c_ulong(epoll.fileno())) != 0:
        sys.exit("an epoll is no file of the lab")
    os.close(given)
    slot = os.open("%s/.slots/%d-again%d" % (lab, given, round), os.O_RDWR)
    os.dup2(slot, given)
    os.close(slot)
print("done")
sys.stdout.flush()
os._exit(0)
