"""A file of ours that an unprivileged process may read for a while, and not before or after."""

import fcntl
import os
import stat
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from openami.diskimage.errors import DiskImageError

LOOK_EVERY_S: Final = 0.5
_ACL: Final = "system.posix_acl_access"

Watch = Callable[[], None]
"""Called about twice a second while something takes long; what it raises ends the work."""


def nobody_watches() -> None:
    """For work that nothing but its own limits may end."""


@contextmanager
def readable(source: Path | BinaryIO, uid: int, watch: Watch) -> Generator[BinaryIO]:
    """The file, open, and for this long readable by `uid`. Raises DiskImageError, and what `watch`
    raises.

    Opening a descriptor by its number asks the file's own permissions again.
    """
    with _opened(source) as file:
        descriptor = file.fileno()
        if os.geteuid() != 0 or os.fstat(descriptor).st_mode & stat.S_IROTH:
            yield file
            return
        # One at a time: who ends first would take the permission away from the other.
        # The mode is read under the lock too: another's list shows in its group bits.
        _take_turn(descriptor, watch)
        before, mode = _permissions(descriptor, uid)
        try:
            os.setxattr(descriptor, _ACL, _readable_by(uid, mode))
        except OSError as failure:
            raise DiskImageError(
                f"{file.name} takes no access list: {failure.strerror}"
            ) from failure
        try:
            yield file
        finally:
            _restore(descriptor, before, mode)


def _take_turn(descriptor: int, watch: Watch) -> None:
    """Lock the file, however long another reads it; `watch` may end the wait."""
    pause = threading.Event()
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            watch()
        pause.wait(LOOK_EVERY_S)


@contextmanager
def _opened(source: Path | BinaryIO) -> Generator[BinaryIO]:
    """The regular file; of a path no link is followed and no pipe is waited for.

    One that is open already is its opener's to close, and to have looked at.
    """
    if not isinstance(source, Path):
        yield source
        return
    path = source
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as failure:
        raise DiskImageError(f"{path} cannot be read: {failure.strerror}") from failure
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DiskImageError(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _access_list(descriptor: int) -> bytes | None:
    with suppress(OSError):
        return os.getxattr(descriptor, _ACL)
    return None


def _permissions(descriptor: int, uid: int) -> tuple[bytes | None, int]:
    """The operator's access list, if any, and mode.

    A list of ours is what an import left that was killed: it counts as none. The mode's group
    bits then show the list's mask (acl(5)), and only the list tells what they were.
    """
    found, mode = _access_list(descriptor), stat.S_IMODE(os.fstat(descriptor).st_mode)
    for group in range(8):
        original = (mode & ~stat.S_IRWXG) | group << 3
        if found == _readable_by(uid, original):
            return None, original
    return found, mode


def _restore(descriptor: int, before: bytes | None, mode: int) -> None:
    if before is not None:
        os.setxattr(descriptor, _ACL, before)
        return
    # Mode first: a kill between the two leaves a list whose mask gives no more than the mode.
    os.fchmod(descriptor, mode)
    os.removexattr(descriptor, _ACL)


def _readable_by(uid: int, mode: int) -> bytes:
    """An access list (acl(5)) that is the mode and `uid` reading; in the kernel's xattr form."""
    nobody = 0xFFFFFFFF
    owner, group, other = (mode >> 6) & 7, (mode >> 3) & 7, mode & 7
    user_obj, user, group_obj, mask, others = 0x01, 0x02, 0x04, 0x10, 0x20
    entries = (
        (user_obj, owner, nobody),
        (user, 4, uid),
        (group_obj, group, nobody),
        (mask, group | 4, nobody),
        (others, other, nobody),
    )
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
