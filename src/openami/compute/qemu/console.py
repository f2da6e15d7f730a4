"""What a guest shows: the serial console, kept within bounds, and the screen.

Both are the guest's own words: nothing is made of them here but bytes and pixels.
"""

import ctypes
import io
import os
from pathlib import Path
from typing import Final

from PIL import Image

from openami.compute.driver import MachineFailed
from openami.compute.qemu.command_line import fdset
from openami.compute.qemu.qmp import Monitor

CONSOLE_BYTES: Final = 64 * 1024  # what GetConsoleOutput returns
KEPT_BYTES: Final = 1 << 20
_PUNCH_HOLE_KEEP_SIZE: Final = 0x02 | 0x01  # linux/falloc.h
_PAGE: Final = 4096
_SCREEN_BYTES_MAX: Final = 64 << 20
_SCREEN: Final = "screen"
_libc: Final = ctypes.CDLL(None, use_errno=True)


def open_console(path: Path) -> int:
    """A descriptor that appends, for the machine's process. The caller closes it."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def last_output(path: Path) -> bytes:
    """The last 64 KiB of the console; nothing if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - CONSOLE_BYTES))
            return file.read(CONSOLE_BYTES)
    except FileNotFoundError:
        return b""


def give_back_space(path: Path, from_byte: int) -> int:
    """Punch out all of the file but its last MiB; up to where it is a hole now.

    The guest goes on appending meanwhile and offsets stay as they are: the file only costs
    disk where it was not punched. `from_byte` is what the last call returned. Raises OSError.
    """
    until = max(0, path.stat().st_size - KEPT_BYTES) // _PAGE * _PAGE
    if until <= from_byte:
        return from_byte
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        offset, length = ctypes.c_int64(from_byte), ctypes.c_int64(until - from_byte)
        if _libc.fallocate64(descriptor, _PUNCH_HOLE_KEEP_SIZE, offset, length) != 0:
            raise OSError(ctypes.get_errno(), f"{path} cannot be punched")
    finally:
        os.close(descriptor)
    return until


def screenshot(monitor: Monitor) -> bytes:
    """The screen as JPEG. Raises MachineFailed."""
    memory = os.memfd_create("openami-screen", os.MFD_CLOEXEC)
    with os.fdopen(memory, "r+b") as picture:
        # QEMU only takes a descriptor of just the mode that it asks for.
        to_write = os.open(f"/proc/self/fd/{memory}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            number = monitor.give(to_write, _SCREEN)
            monitor.ask("screendump", {"filename": fdset(number), "format": "png"})
        finally:
            os.close(to_write)
            monitor.take_back(_SCREEN)
        picture.seek(0)
        return as_jpeg(picture.read(_SCREEN_BYTES_MAX))


def as_jpeg(png: bytes) -> bytes:
    """Raises MachineFailed for anything but a picture of a screen's size."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            if picture.width * picture.height > _SCREEN_BYTES_MAX // 4:
                raise MachineFailed(f"a screen of {picture.width} x {picture.height} pixels")
            jpeg = io.BytesIO()
            picture.convert("RGB").save(jpeg, "JPEG", quality=85)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as wrong:
        raise MachineFailed(f"the machine's screen is no picture: {wrong}") from wrong
    return jpeg.getvalue()
