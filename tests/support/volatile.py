"""A directory on a disk that keeps what was synced, and of everything else what chance says.

Every change of a name below it, and every sync, is a moment at which the power may go. Then each
directory has the names that it had when it was last synced, or after any of the changes since; and
each file what was last synced, what was written since, or pieces of both. What a real filesystem
does is among that.
"""

import os
import random  # noqa: TID251 (seeded: a failure repeats)
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from openami.blockstore import local_dir
from openami.blockstore.ingest import data_ranges
from openami.domain.block import BLOCK_BYTES

T = TypeVar("T")

_PIECE_BYTES: Final = 64 << 10
"""What of a file is kept or lost as one."""
_PIECES: Final = BLOCK_BYTES // _PIECE_BYTES
_PATHS_OF: Final[Mapping[str, Sequence[tuple[int, int]]]] = {
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
}
"""Event (sys.addaudithook) → where in it the paths are, and the descriptors they start from."""

Names = Mapping[str, int]
"""What a directory names → the inode."""


@dataclass(frozen=True, slots=True)
class _Content:
    """Pieces by number; those that are not there are holes."""

    size: int = 0
    pieces: Mapping[int, bytes] = field(default_factory=dict[int, bytes])


@dataclass(frozen=True, slots=True)
class _Survival:
    """What is left of several states, oldest first, of the names in a directory or of a piece."""

    names: Callable[[Sequence[Any]], Any]
    bytes: Callable[[Sequence[Any]], Any]


def _survivals(chance: random.Random) -> Sequence[_Survival]:
    def oldest(states: Sequence[T]) -> T:
        return states[0]

    def newest(states: Sequence[T]) -> T:
        return states[-1]

    return (
        _Survival(oldest, oldest),  # a disk that is slow to write anything
        _Survival(newest, oldest),  # a journal of names, and no more
        _Survival(chance.choice, chance.choice),
        _Survival(newest, newest),  # as if only the process had died
    )


class VolatileDirectory:
    """`moment` runs before each change below `root`, and may raise. One that `lies` syncs nothing.

    What is there when `settle` is called is on the disk. Directories are looked at when something
    changes in them, so that stores may have thousands in which nothing does.
    """

    def __init__(self, root: Path, moment: Callable[[], None], *, lies: bool = False) -> None:
        self._root, self._moment, self._lies = str(root), moment, lies
        self._guard = threading.RLock()
        self._at_work = threading.local()  # what we do ourselves is no change
        self._forget()

    def _forget(self) -> None:
        self._held: dict[int, int] = {}  # file → a descriptor: what is removed may come back
        self._synced: dict[int, tuple[_Content, object]] = {}  # file → what, and how to know it
        self._names: dict[int, list[Names]] = {}  # directory → as it was synced, and since
        self._paths: dict[int, str] = {}  # of those
        self._modes: dict[int, int] = {}

    @contextmanager
    def watched(self) -> Generator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("fsync", "fdatasync"):
                patch.setattr(os, name, self._heeding(getattr(os, name), self._sync_one))
            syncfs = self._heeding(local_dir.syncfs, lambda path: self._sync_below(str(path)))
            patch.setattr(local_dir, "syncfs", syncfs)
            _listeners().append(self)
            try:
                yield
            finally:
                _listeners().remove(self)
                self.settle()

    def settle(self) -> None:
        """All that is there is on the disk."""
        with self._working():
            for descriptor in self._held.values():
                os.close(descriptor)
            self._forget()

    def cut(self, chance: random.Random) -> None:
        """Leave what survives."""
        kept = chance.choice(_survivals(chance))
        with self._working():
            for path in tuple(self._paths.values()):
                self._note(path)
            for node, path in sorted(self._paths.items(), key=lambda each: len(each[1])):
                if _node(path) == node:
                    self._put_back(node, path, kept)
        self.settle()

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Something is about to happen, here or anywhere."""
        if getattr(self._at_work, "busy", False):
            return
        found = list(_written(*args) if event == "open" else _changed(event, args))
        below = [each for each in found if each[0].startswith(f"{self._root}/")]
        with self._working():
            for path, _ in below:
                self._look_at(os.path.dirname(path))  # noqa: PTH120
        if any(is_change for _, is_change in below):
            self._moment()

    def _heeding(self, real: Callable[[Any], None], noted: Callable[[Any], None]) -> Any:
        def sync(what: Any) -> None:
            path = _path(what) if isinstance(what, int) else str(what)
            if not f"{path}/".startswith(f"{self._root}/"):
                return real(what)
            self._moment()
            if not self._lies:
                with self._working():
                    noted(what)
            return None

        return sync

    def _look_at(self, directory: str) -> None:
        """Note what it names now. If it was not known it is as it was settled, unless it is new to
        a directory that was."""
        parent = os.path.dirname(directory)  # noqa: PTH120
        if _node(parent) in self._names:
            self._note(parent)
        node = _node(directory)
        if node in self._names:
            self._note(directory)
        elif node is not None:
            self._sync_directory(node, directory)

    def _sync_directory(self, node: int, path: str) -> None:
        names = self._listed(path)
        self._names[node], self._paths[node] = [names], path
        for name, child in names.items():
            if stat.S_ISREG(self._modes[child]):
                self._sync_file(child, f"{path}/{name}")

    def _sync_one(self, descriptor: int) -> None:
        node, path = os.fstat(descriptor), _path(descriptor)
        if stat.S_ISDIR(node.st_mode):
            self._look_at(path)
            self._names[node.st_ino] = [self._listed(path)]
        else:
            self._look_at(os.path.dirname(path))  # noqa: PTH120
            self._sync_file(node.st_ino, f"/proc/self/fd/{descriptor}")

    def _sync_below(self, top: str) -> None:
        for node, path in tuple(self._paths.items()):
            if f"{path}/".startswith(f"{top}/") and _node(path) == node:
                self._note(path)  # and what is new there, too
        for node, path in tuple(self._paths.items()):
            if f"{path}/".startswith(f"{top}/") and _node(path) == node:
                self._sync_directory(node, path)

    def _note(self, directory: str) -> None:
        """What a known directory names now is something that the disk may have, from here on."""
        node = _node(directory)
        if node is None or node not in self._names:
            return
        names, states = self._listed(directory), self._names[node]
        if states[-1] == names:
            return
        for name in names.keys() - states[-1].keys():
            child, path = names[name], f"{directory}/{name}"
            if stat.S_ISDIR(self._modes[child]) and child not in self._names:
                self._names[child], self._paths[child] = [{}], path
                self._note(path)
        states.append(names)

    def _listed(self, directory: str) -> Names:
        found: dict[str, int] = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                node = entry.stat(follow_symlinks=False)
                found[entry.name] = node.st_ino
                self._modes[node.st_ino] = node.st_mode
                if stat.S_ISREG(node.st_mode):
                    self._hold(node.st_ino, entry.path)
        return found

    def _hold(self, node: int, path: str) -> int:
        if node not in self._held:
            self._held[node] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._held[node]

    def _sync_file(self, node: int, path: str) -> None:
        now = os.fstat(self._hold(node, path))
        self._modes[node] = now.st_mode
        sign = (now.st_size, now.st_mtime_ns, now.st_blocks)
        if node not in self._synced or self._synced[node][1] != sign:
            self._synced[node] = (_content(self._held[node]), sign)

    def _put_back(self, node: int, path: str, kept: _Survival) -> None:
        """Make the directory what survives of it."""
        left, there = kept.names(self._names[node]), self._names[node][-1]
        for name, child in there.items():
            if left.get(name) == child and not stat.S_ISREG(self._modes[child]):
                continue
            if stat.S_ISDIR(self._modes[child]):
                shutil.rmtree(f"{path}/{name}")
            else:
                os.unlink(f"{path}/{name}")  # noqa: PTH108
        for name, child in left.items():
            if stat.S_ISREG(self._modes[child]):
                self._write_file(child, f"{path}/{name}", kept)
            elif there.get(name) != child:
                os.mkdir(f"{path}/{name}", stat.S_IMODE(self._modes[child]))  # noqa: PTH102
                if child in self._names:
                    self._names[child][-1:] = [self._names[child][-1], {}]
                    self._put_back(child, f"{path}/{name}", kept)

    def _write_file(self, node: int, path: str, kept: _Survival) -> None:
        synced, _ = self._synced.get(node, (_Content(), None))
        states = (synced, _content(self._held[node]))
        size = kept.names([state.size for state in states])
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, stat.S_IMODE(self._modes[node]))
        os.ftruncate(descriptor, size)
        for piece in range(-(-size // _PIECE_BYTES)):
            data = kept.bytes([state.pieces.get(piece) for state in states])
            if data is not None:
                start = piece * _PIECE_BYTES
                os.pwrite(descriptor, data[: size - start], start)
        os.close(descriptor)

    @contextmanager
    def _working(self) -> Generator[None]:
        with self._guard:
            self._at_work.busy = True
            try:
                yield
            finally:
                self._at_work.busy = False


def _path(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def _node(path: str) -> int | None:
    try:
        return os.stat(path).st_ino  # noqa: PTH116
    except OSError:
        return None


def _written(path: Any, _mode: object, flags: int) -> Generator[tuple[str, bool]]:
    """The file, if it may be written; and whether it is made or emptied by that."""
    if isinstance(path, str | bytes | Path) and flags & (os.O_WRONLY | os.O_RDWR):
        name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        yield name, bool(flags & os.O_TRUNC) or not os.path.lexists(name)


def _changed(event: str, args: tuple[Any, ...]) -> Generator[tuple[str, bool]]:
    for at, start_at in _PATHS_OF[event]:
        path, start = os.fsdecode(args[at]), args[start_at]
        if start is not None and start >= 0 and not os.path.isabs(path):  # noqa: PTH117
            path = f"{_path(start)}/{path}"
        if event != "os.mkdir" or not os.path.lexists(path):
            yield os.path.abspath(path), True  # noqa: PTH100


def _content(descriptor: int) -> _Content:
    size = os.fstat(descriptor).st_size
    pieces: dict[int, bytes] = {}
    for span in data_ranges(descriptor, size):
        for piece in range(
            span.start * _PIECES, min(span.stop * _PIECES, -(-size // _PIECE_BYTES))
        ):
            pieces[piece] = os.pread(descriptor, _PIECE_BYTES, piece * _PIECE_BYTES)
    return _Content(size, pieces)


@cache
def _listeners() -> list[VolatileDirectory]:
    """Those who hear of changes. A hook cannot be taken away, so there is one for all."""
    found: list[VolatileDirectory] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if found and (event == "open" or event in _PATHS_OF):
            for each in found:
                each.hear(event, args)

    sys.addaudithook(hook)
    return found
