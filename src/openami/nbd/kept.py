"""What of a disk is on this host, and knows it again after a crash.

`<base>.cold` is the disk as a sparse file, `<base>.map` says which of its blocks are in it: a
header of 4096 bytes (JSON: format, boot id, root), then one byte a block, a `State`. A byte is
written after its block. So after the death of the process all of them are right: the kernel has
what was written. After the death of the host only DURABLE and HOLE are believed: a byte becomes
DURABLE after its block has been synced, and a hole is what the manifest says, not the file. So too
if the process died while it synced, which the header's last byte tells.

A sync that fails is told to one caller, once (fsync(2), errseq in the kernel), and what it was
about may be gone. So one thread syncs at a time, and all that is FRESH by then is fetched again.

When no block is missing, the file is synced and renamed to the base's own name. Whoever has it
open goes on to read it.
"""

import fcntl
import json
import mmap
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from openami.blockstore.cache import BaseCache, drafts
from openami.blockstore.disk_sync import full_disk_is_told, sync_directory
from openami.blockstore.store import StoreFull
from openami.compute.qemu.process import boot_id
from openami.domain.block import BLOCK_BYTES
from openami.domain.manifest import Root

HEADER_BYTES: Final = 4096
_FORMAT: Final = 1
_SYNCING_AT: Final = HEADER_BYTES - 1
_MARKED_AT_ONCE: Final = 1024 * 1024
_PATIENCE_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.02


class State(IntEnum):
    ABSENT = 0
    FRESH = 1  # here, and lost if the host crashes
    DURABLE = 2
    HOLE = 3


class KeptElsewhere(Exception):
    """Another process has the drafts of this disk."""


class Kept:
    """One disk's blocks on this host. `states` may be read by anybody at any time, byte by byte.

    `mapped` is the file in memory, as much of it as there was when it was opened. It may be given
    to the kernel, which says EFAULT where the host's disk fails or somebody has cut the file: who
    looks into it himself ends then, with all of the process (SIGBUS). Only what is DURABLE may be
    taken from it: what is FRESH may be gone when it is sent, after a sync that fails.

    Thread-safe but for `close`, after which no other method may be called. Where not even the
    drafts can be made, nothing is kept, until `keep` succeeds in making them.
    """

    def __init__(self, cache: BaseCache, root: Root, boot: Callable[[], str] = boot_id) -> None:
        """Raises KeptElsewhere."""
        self.path = cache.path(root)
        self.root = root
        self.complete = False
        self.states = bytearray(root.blocks)
        self._boot = boot
        self._cold, self._map = drafts(self.path)
        self._disk = self._marks = -1
        self._mapping: mmap.mmap | None = None
        self.mapped: memoryview | None = None
        self._fresh: list[int] = []
        self._failed_syncs = 0
        self._syncing = threading.Lock()  # taken before the other one
        self._lock = threading.Lock()
        if not self._opened_base():
            with suppress(StoreFull):
                self._open_drafts()
        self._here = root.blocks - self.states.count(State.ABSENT)

    @property
    def blocks_here(self) -> int:
        return self.root.blocks if self.complete else self._here

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of blocks that are here. Raises OSError, also if somebody has cut the file."""
        data = os.pread(self._disk, length, offset)
        if len(data) < length:
            if not self.complete:
                raise OSError(f"{self._cold} ends before {offset + length}")
            data += bytes(length - len(data))  # a base may end before its last hole does
        return data

    def read_at_once(self, offset: int, length: int) -> bytes | None:
        """As `read`, or None if that would have to wait for the host's disk."""
        data = bytearray(length)
        try:
            count = os.preadv(self._disk, [data], offset, os.RWF_NOWAIT)
        except OSError:  # not in memory, or not known to this filesystem; or told by `read`
            return None
        return bytes(data) if count == length else None

    def distrust_mapped(self) -> None:
        """The kernel could not read all of it: who reads from now on is told what and why."""
        self._mapping = self.mapped = None

    def let_go_of_pages(self) -> None:
        """Count no longer what was read of the file as this process's memory."""
        mapping = self._mapping
        if mapping is not None:
            mapping.madvise(mmap.MADV_DONTNEED)

    def run(self, index: int) -> tuple[bool, int]:
        """Of a complete disk: whether the block has data, and where blocks stop to be as it is."""
        offset = index * BLOCK_BYTES
        try:
            data = os.lseek(self._disk, offset, os.SEEK_DATA)
        except OSError:  # ENXIO: no data from here to the end
            return False, self.root.blocks
        if data >= offset + BLOCK_BYTES:
            return False, data // BLOCK_BYTES
        end = os.lseek(self._disk, offset, os.SEEK_HOLE) if data == offset else 0
        return True, min(max(end // BLOCK_BYTES, index + 1), self.root.blocks)

    def keep(self, index: int, block: bytes) -> None:
        """Have the block here from now on. Raises StoreFull, OSError, and then it is not."""
        if self._disk < 0:
            with self._lock:
                if self._disk < 0:
                    self._open_drafts()
        failed_syncs = self._failed_syncs
        with full_disk_is_told(self._cold.parent):
            if os.pwrite(self._disk, block, index * BLOCK_BYTES) < len(block):
                raise StoreFull(f"no room left in {self._cold.parent}")
        with self._lock:
            if self._failed_syncs != failed_syncs:
                raise OSError(f"a sync of {self._cold} failed while block {index} was written")
            self._set(index, bytes((State.FRESH,)))
            self._fresh.append(index)

    def keep_hole(self, first: int, end: int) -> None:
        """Know from now on that these blocks are holes."""
        for start in range(first, end, _MARKED_AT_ONCE):
            self._mark(start, bytes((State.HOLE,)) * (min(end, start + _MARKED_AT_ONCE) - start))

    def know_data(self, index: int) -> None:
        """Of a complete disk: the block is no hole."""
        self._mark(index, bytes((State.DURABLE,)))

    def checkpoint(self) -> None:
        """Make what is here survive a crash of the host. Raises OSError; what was not durable yet
        is then no longer here, because the kernel may have dropped it."""
        with self._syncing:
            self._sync()

    def finish(self) -> bool:
        """Make the whole disk the base, if no block is missing. Raises OSError."""
        with self._syncing:
            if self.complete:
                return True
            self._sync()
            with self._lock:
                if self._disk < 0 or self.states.find(State.ABSENT) >= 0 or self._fresh:
                    return False
                os.fsync(self._disk)
                self._cold.rename(self.path)
                sync_directory(self.path.parent)
                self.complete = True
                os.close(self._marks)
                self._marks = -1
                # Last: without a disk beside it, a map is taken for what a crash has left.
                self._map.unlink(missing_ok=True)
        return True

    def _sync(self) -> None:
        """No other thread syncs meanwhile."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
        if not fresh or self._disk < 0:
            return
        try:
            os.pwrite(self._marks, b"\1", _SYNCING_AT)
            os.fdatasync(self._disk)
        except OSError:
            with self._lock:
                fresh += self._fresh
                self._fresh = []
                self._failed_syncs += 1
                for index in fresh:
                    self._set(index, bytes((State.ABSENT,)))
                self._synced()
            raise
        with self._lock:
            for index in fresh:
                self._set(index, bytes((State.DURABLE,)))
            self._synced()
            os.fdatasync(self._marks)

    def _synced(self) -> None:
        with suppress(OSError):  # what is FRESH is then fetched again after the process
            os.pwrite(self._marks, b"\0", _SYNCING_AT)

    def close(self) -> None:
        """Let go of the files and of their lock; what is here stays."""
        with suppress(OSError):  # told by the next who needs it
            self.checkpoint()
        if not self.complete and self._disk >= 0 and self.path.exists():  # made by another
            self._cold.unlink(missing_ok=True)
            self._map.unlink(missing_ok=True)
        self._mapping = self.mapped = None
        for descriptor in (self._marks, self._disk):
            if descriptor >= 0:
                os.close(descriptor)
        self._disk = self._marks = -1

    def _opened_base(self) -> bool:
        try:
            self._disk = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self.complete = True
        self._map_it(self._disk)
        return True

    def _map_it(self, disk: int) -> None:
        """By a descriptor of its own: a mapping keeps its file open, and locked with it."""
        with suppress(OSError, ValueError):  # it is empty, or there is no room: it is read then
            again = os.open(f"/proc/self/fd/{disk}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._mapping = mmap.mmap(again, 0, access=mmap.ACCESS_READ)
            finally:
                os.close(again)
            self.mapped = memoryview(self._mapping)

    def _open_drafts(self) -> None:
        with full_disk_is_told(self._cold.parent):
            disk = os.open(self._cold, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            marks = -1
            try:
                _lock(disk, self._cold)
                marks = os.open(self._map, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                _lock(marks, self._map)
                if os.fstat(disk).st_size == 0 or not self._recalled(marks):
                    self._begin(disk, marks)
            except BaseException:
                os.close(disk)
                if marks >= 0:
                    os.close(marks)
                raise
        self._map_it(disk)
        self._disk, self._marks = disk, marks

    def _recalled(self, marks: int) -> bool:
        """Whether the map is one of this disk; what it says is then in `states`."""
        text = os.pread(marks, HEADER_BYTES, 0)
        header = _header(text[:_SYNCING_AT])
        if header.get("format") != _FORMAT or header.get("root") != self.root.to_text():
            return False
        told = os.pread(marks, self.root.blocks, HEADER_BYTES)
        told = told.ljust(self.root.blocks, bytes((State.ABSENT,)))  # it ends with its last mark
        if header.get("boot_id") != self._boot() or text[_SYNCING_AT:] != b"\0":
            told = told.replace(bytes((State.FRESH,)), bytes((State.ABSENT,)))
            os.pwrite(marks, told, HEADER_BYTES)
            os.fdatasync(marks)
            self._write_header(marks)
        self.states[:] = told
        self._fresh = np.flatnonzero(np.frombuffer(told, np.uint8) == State.FRESH).tolist()
        return True

    def _begin(self, disk: int, marks: int) -> None:
        """The map is emptied for good before the disk gets its size: at no moment does a map tell
        of blocks that a disk does not have."""
        os.ftruncate(marks, 0)
        os.fsync(marks)
        os.ftruncate(disk, 0)
        with suppress(OSError):  # EFBIG: 16 TiB on ext4; it then ends with its last block
            os.ftruncate(disk, self.root.size_bytes)
        os.fsync(disk)
        sync_directory(self._cold.parent)
        self._write_header(marks)

    def _write_header(self, marks: int) -> None:
        told = {"format": _FORMAT, "boot_id": self._boot(), "root": self.root.to_text()}
        os.pwrite(marks, json.dumps(told).encode().ljust(HEADER_BYTES, b"\0"), 0)
        os.fdatasync(marks)

    def _mark(self, first: int, states: bytes) -> None:
        with self._lock:
            self._set(first, states)

    def _set(self, first: int, states: bytes) -> None:
        """The lock is held."""
        before = self.states.count(State.ABSENT, first, first + len(states))
        self.states[first : first + len(states)] = states
        self._here += before - states.count(State.ABSENT)
        if self._marks >= 0:
            # A map without room forgets: after a crash these blocks are fetched once more.
            with suppress(OSError):
                os.pwrite(self._marks, states, HEADER_BYTES + first)


def _header(text: bytes) -> dict[str, object]:
    try:
        told = json.loads(text.rstrip(b"\0") or b"{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _lock(descriptor: int, path: Path) -> None:
    """Raises KeptElsewhere if another has it, or has removed it between our open and now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same = os.path.samestat(path.stat(), os.fstat(descriptor))
    except (BlockingIOError, FileNotFoundError):
        same = False
    if not same:
        raise KeptElsewhere(f"another process has {path}")


def opened(cache: BaseCache, root: Root) -> Kept:
    """`Kept`, waiting for an eviction that is looking at the drafts. Raises KeptElsewhere."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return Kept(cache, root)
        except KeptElsewhere:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_LOOK_EVERY_S)
