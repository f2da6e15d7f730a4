"""The order in which a machine first reads its disk: what a boot needs, soonest first.

It is recorded while a disk is not here yet and read ahead of everything else the next time. What
later launches read besides is added at its end. The files are this host's; a server keeps profiles
with its images and tells them to the daemon of a host that has none.
"""

import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from openami.domain.manifest import Root

BLOCKS_MAX: Final = 4096  # 2 GiB, more than a boot reads
RECORDED_S: Final = 180.0
PROFILES_MAX: Final = 1000


class Profiles(Protocol):
    """Where profiles are. A profile is a hint: one that is lost costs time, not bytes."""

    def load(self, root: Root) -> Sequence[int] | None:
        """Blocks of the disk in the order of their first read; None if nobody has recorded it."""
        ...

    def save(self, root: Root, order: Sequence[int]) -> None: ...


class ProfileFiles:
    """A file for each root, of which the oldest go when there are too many."""

    def __init__(self, directory: Path, profiles_max: int = PROFILES_MAX) -> None:
        self._directory, self._profiles_max = directory, profiles_max
        self._directory.mkdir(mode=0o700, exist_ok=True)

    def load(self, root: Root) -> Sequence[int] | None:
        try:
            told = json.loads(self._path(root).read_bytes())
            order = [int(index) for index in told["blocks"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return [index for index in order[:BLOCKS_MAX] if 0 <= index < root.blocks]

    def save(self, root: Root, order: Sequence[int]) -> None:
        draft = self._directory / f".{os.getpid()}-{threading.get_ident()}"
        draft.write_text(json.dumps({"root": root.to_text(), "blocks": list(order)}))
        draft.replace(self._path(root))
        files = sorted(self._directory.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for file in files[: max(len(files) - self._profiles_max, 0)]:
            file.unlink(missing_ok=True)

    def _path(self, root: Root) -> Path:
        return self._directory / f"{root.digest.hex()}-{root.blocks}.json"


class Recording:
    """One disk's first reads, from the first one on, until it is long enough. Thread-safe.

    `known` are those of earlier times.
    """

    def __init__(self, known: Sequence[int] = ()) -> None:
        self._order: dict[int, None] = dict.fromkeys(known)
        self._known_count = len(self._order)
        self._until = 0.0
        self._lock = threading.Lock()

    def note(self, first: int, last: int) -> None:
        """A guest reads these blocks."""
        if first in self._order and last in self._order and last - first < 2:
            return  # by far the most: without the lock
        with self._lock:
            if not self._until:
                self._until = time.monotonic() + RECORDED_S
            for index in range(first, last + 1):
                if len(self._order) < BLOCKS_MAX:
                    self._order.setdefault(index)

    def is_done(self) -> bool:
        full = len(self._order) >= BLOCKS_MAX
        return full or (bool(self._until) and time.monotonic() >= self._until)

    def is_news(self) -> bool:
        return len(self._order) > self._known_count

    def order(self) -> Sequence[int]:
        with self._lock:
            return list(self._order)
