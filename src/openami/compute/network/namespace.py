"""Linux network namespaces, entered by a thread of their own.

A namespace belongs to a thread, not to a process (setns(2)), so the daemon needs no fork and
never leaves the host's namespace itself: a thread enters, opens sockets and taps, runs
programs, writes /proc/sys/net, and ends. Descriptors keep the namespace they were opened in.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from openami.compute.driver import MachineFailed
from openami.compute.network import shell

_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_DIRECTORY: Final = Path("/run/netns")  # where ip-netns(8) keeps them

_libc: Final = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def exists(name: str) -> bool:
    return (_DIRECTORY / name).exists()


def names() -> list[str]:
    return sorted(path.name for path in _DIRECTORY.iterdir()) if _DIRECTORY.exists() else []


def create(name: str) -> None:
    """Make the namespace; it stays until `remove`, whatever becomes of this process."""
    if not exists(name):
        shell.run("ip", "netns", "add", name)


def remove(name: str) -> None:
    if exists(name):
        shell.run("ip", "netns", "delete", name)


def inside(name: str, work: Callable[[], T]) -> T:
    """What `work` returns or raises when it runs in the namespace, in a thread of its own.

    Raises MachineFailed if there is no such namespace or this process may not enter it.
    """

    def entered() -> T:
        _enter(name)
        return work()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"in-{name}") as thread:
        return thread.submit(entered).result()


def _enter(name: str) -> None:
    try:
        descriptor = os.open(_DIRECTORY / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as wrong:
        raise MachineFailed(f"the network namespace {name} cannot be opened: {wrong}") from wrong
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise MachineFailed(f"the network namespace {name} cannot be entered: {reason}")
    finally:
        os.close(descriptor)


def write_settings(settings: Mapping[str, str]) -> None:
    """Write files below /proc/sys/net of the calling thread's namespace; absent ones are none.

    (A kernel without IPv6 has no switch to turn it off.)
    """
    for name, value in settings.items():
        path = Path("/proc/sys/net") / name
        if path.exists():
            path.write_text(value)


def open_tap(name: str) -> int:
    """A new tap in the calling thread's namespace; it is gone when the descriptor is closed.

    With a virtio header before each frame, so that QEMU can use offloads. Raises MachineFailed.
    """
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as wrong:
        raise MachineFailed(f"/dev/net/tun cannot be opened: {wrong}") from wrong
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError as wrong:
        os.close(descriptor)
        raise MachineFailed(f"the tap {name} cannot be made: {wrong}") from wrong
    return descriptor


def interfaces() -> set[str]:
    """Names of the interfaces in the calling thread's namespace."""
    return {name for _, name in socket.if_nameindex()}
