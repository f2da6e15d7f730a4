"""Snapshots as raw files of this host, made once and shared by every volume over them.

Callers only see `ensure(root) -> Path`. A base is named by its root, never by a volume's size: an
overlay may be larger than what it lies on.
"""

import fcntl
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.blockstore.disk_sync import full_disk_is_told, sync_directory
from openami.blockstore.parallel import Progress, no_progress
from openami.blockstore.restore import write_disk
from openami.blockstore.store import ChunkStore
from openami.domain.manifest import Root

_NAME: Final = re.compile(r"([0-9a-f]{64}-[0-9]+\.raw)(\.part|\.cold|\.map)?")


class BaseCache:
    """Files are their owner's alone: a machine is handed the one it reads, already open.

    While a base is being made it is `<name>.part`, locked by its maker. The lock goes with the
    process, so a crash leaves a file that the next one to ask for the base takes over.
    The block daemon's drafts (nbd/kept.py) are `<name>.cold` and `<name>.map`, likewise locked.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o700)

    def path(self, root: Root) -> Path:
        """Where the base is or would be."""
        return self._directory / f"{root.digest.hex()}-{root.blocks}.raw"

    def ensure(self, store: ChunkStore, root: Root, progress: Progress = no_progress) -> Path:
        """The base of `root`: complete, verified, durable. Made by the first who asks, out of the
        store he names; equal roots of two stores are one file.

        Others who ask meanwhile, of this process or another, wait for it. Raises ChunkLost,
        ChunkCorrupt, StoreFull; nothing is then under the base's name.
        """
        path = self.path(root)
        while not _used(path):
            self._make(store, root, path, progress)
        return path

    def evict(self, keep: Iterable[Root], bytes_max: int = 0) -> int:
        """Remove what a crash left, and bases until all together take at most `bytes_max` on the
        disk, those that have not been asked for the longest time first; how many bytes that freed.

        Never those of `keep`: the caller names the roots of all volumes there are, of those being
        made, and of fast snapshot restores. A file that a machine has open lives on until it
        closes it.
        """
        kept = {self.path(root).name for root in keep}
        named = [(each, name) for each in self._directory.iterdir() if (name := _named(each))]
        bases = [(each, _seen(each)) for each, name in named if each.name == name]
        surplus_bytes = sum(seen.size_bytes for _, seen in bases) - bytes_max
        freed_bytes = sum(
            _removed_unless_locked(each)
            for each, name in named
            if each.name != name and name not in kept
        )
        for file, seen in sorted(bases, key=lambda each: each[1].used_at_ns):
            if surplus_bytes > 0 and file.name not in kept:
                freed_bytes += _removed_unless_locked(file)
                surplus_bytes -= seen.size_bytes
        return freed_bytes

    def drop(self, root: Root) -> None:
        """Remove one base, and what a crash left of it, as `evict` does.

        One that is not there, or is being made, is fine.
        """
        path = self.path(root)
        for file in (path, _part(path), *drafts(path)):
            _removed_unless_locked(file)

    def _make(self, store: ChunkStore, root: Root, path: Path, progress: Progress) -> None:
        part = _part(path)
        with full_disk_is_told(self._directory):
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not _is(part, descriptor):
                    return  # another has finished it, or evicted it: look again
                if path.exists():  # made by another between our look and our open
                    part.unlink()
                    return
                try:
                    write_disk(store, root, descriptor, progress=progress)
                    os.fsync(descriptor)
                except BaseException:
                    part.unlink()
                    raise
                part.rename(path)
                sync_directory(self._directory)
            finally:
                os.close(descriptor)


def drafts(path: Path) -> tuple[Path, Path]:
    """Where the block daemon keeps what it has of a base, and which blocks those are."""
    return path.with_name(f"{path.name}.cold"), path.with_name(f"{path.name}.map")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    size_bytes: int = 0
    used_at_ns: int = 0


def _seen(file: Path) -> _Seen:
    try:
        found = file.stat()
    except FileNotFoundError:
        return _Seen()
    return _Seen(size_bytes=found.st_blocks * 512, used_at_ns=found.st_mtime_ns)


def _named(file: Path) -> str | None:
    """The name of the base that the file is, or is to be; None for a file that is not ours."""
    name = _NAME.fullmatch(file.name)
    return None if name is None else name[1]


def _used(path: Path) -> bool:
    """Note that the base is used now, which is its file's time; False if it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _removed_unless_locked(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        freed_bytes = os.fstat(descriptor).st_blocks * 512
        if not _is(file, descriptor):
            return 0
        file.unlink()
    except BlockingIOError:  # being made
        return 0
    finally:
        os.close(descriptor)
    return freed_bytes
