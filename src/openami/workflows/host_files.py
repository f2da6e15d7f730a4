"""Files of the server's own that imports may read: those in the directory that its operator
names for that (setting `import_directory`)."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

from openami.settings import Settings

SCHEME: Final = "file://"


class NotServed(Exception):
    """No import may read this; the message is a sentence for the caller."""


def served(settings: Settings, url: str) -> Path:
    """The regular file that a file:// URL names, every link in its path resolved.

    What lies outside the directory and what is not there are refused alike. Raises NotServed.
    """
    if not settings.import_directory:
        raise NotServed(
            "The server reads no file:// URLs. Upload the disk to a bucket, or ask its operator"
            " for the setting import_directory."
        )
    absent = _absent(url)
    try:
        parts = urlsplit(url)
        root, found = Path(settings.import_directory).resolve(), Path(unquote(parts.path)).resolve()
        if parts.netloc not in ("", "localhost") or not found.is_relative_to(root):
            raise absent
        if not found.is_file():
            raise absent
    except (OSError, RuntimeError, ValueError) as odd:  # links in a circle, names too long
        raise absent from odd
    return found


@contextmanager
def opened(settings: Settings, url: str) -> Generator[BinaryIO]:
    """That file, open. Raises NotServed.

    It is opened once, by steps from the directory down of which none follows a link: what takes
    the place of a part of its path after the look at it is not read.
    """
    found, root = served(settings, url), Path(settings.import_directory).resolve()
    try:
        descriptor = _descriptor(root, found.relative_to(root).parts)
    except OSError as odd:
        raise _absent(url) from odd
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _absent(url)
        yield file


def _descriptor(root: Path, parts: tuple[str, ...]) -> int:
    *directories, name = parts
    at = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for each in directories:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(each, flags, dir_fd=at)
            os.close(at)
            at = inner
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=at)
    finally:
        os.close(at)


def _absent(url: str) -> NotServed:
    return NotServed(
        f"{url[:200]!r} names no file in the directory that the server reads imports from."
    )
