"""Opens the only device of group 0 as programs do and says at which number: client-device.py UUID [child]."""
import ctypes
import os
import subprocess
import sys

if len(sys.argv) > 2:
    # subprocess closes everything but stdio in the child.
    sys.exit(subprocess.run([sys.executable] + sys.argv[:2]).returncode)
libc = ctypes.CDLL(None, use_errno=True)


def ioctl(fd, command, argument):
    result = libc.ioctl(fd, ctypes.c_ulong(command), argument)
    if result < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return result


container, group = (os.open("/dev/vfio/" + name, os.O_RDWR) for name in ("vfio", "0"))
ioctl(group, 0x3b68, ctypes.byref(ctypes.c_int(container)))
ioctl(container, 0x3b66, ctypes.c_ulong(1))
device = ioctl(group, 0x3b6a, ctypes.c_char_p(sys.argv[1].encode()))
info = (ctypes.c_uint32 * 6)(24)
ioctl(device, 0x3b6b, info)
print("device at", device, "with", info[3], "interrupts")
