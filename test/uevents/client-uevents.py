"""Prints the uevents that come while an mdev is made, asked for an event, and removed: client-uevents.py UUID."""
import socket
import struct
import sys

uuid = sys.argv[1]
MDEV = "/sys/bus/mdev/devices/" + uuid
NETLINK_KOBJECT_UEVENT = 15
KERNEL, UDEV = 1, 2

listeners = {}
for name, group in (("kernel", KERNEL), ("udev", UDEV)):
    listeners[name] = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT)
    listeners[name].bind((0, group))
    listeners[name].settimeout(0.5)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def variables(data):
    strings = data.decode().split("\0")
    assert strings.pop() == "", data
    return strings


def received(name):
    try:
        while True:
            data, (port, group) = listeners[name].recvfrom(8192)
            if name == "kernel":
                assert (port, group) == (0, KERNEL)
                header, *rest = variables(data)
                assert header == rest[0].split("=")[1] + "@" + rest[1].split("=")[1]
            else:
                assert port != 0 and group == UDEV and data[:8] == b"libudev\0"
                magic, = struct.unpack_from(">I", data, 8)
                size, start, length = struct.unpack_from("=III", data, 12)
                assert (magic, size, start, start + length) == (0xfeedcafe, 40, 40, len(data))
                rest = variables(data[start:])
            yield [text for text in rest if not text.startswith(("SEQNUM=", "USEC_", "MAJOR=", "MINOR="))], rest
    except socket.timeout:
        pass


write("/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", uuid)
write(MDEV + "/uevent", "change 01234567-89ab-cdef-0123-456789abcdef A=b")
write(MDEV + "/remove", "1")
for name in listeners:
    numbers = []
    for shown, everything in received(name):
        print(name, *(text.replace(uuid, "UUID").split("=", 1)[1] for text in shown))
        numbers += [int(text[7:]) for text in everything if text.startswith("SEQNUM=")]
    assert numbers == sorted(set(numbers)), numbers
