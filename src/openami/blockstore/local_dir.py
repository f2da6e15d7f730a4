"""Objects as files of a local directory: `c/ab/<hex>` and `n/ab/<hex>`.

A writer stages into a directory of its own under `stage/`, makes that durable with one syncfs,
renames, and makes the names durable with another (DESIGN D8). A staging directory is locked while
its writer lives, so `recover` can tell what a dead process left behind.
"""

import fcntl
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from openami.blockstore import codec
from openami.blockstore.disk_sync import (
    full_disk_is_told,
    past_the_page_cache,
    spread_directories,
    sync_directory,
    sync_file,
    syncfs,
    write_all,
    write_pages,
)
from openami.blockstore.store import ChunkCorrupt, ChunkLost, Kind, NoLongerThere
from openami.domain.block import Digest

_NAME: Final = re.compile(r"[0-9a-f]{64}")


class LocalDirWriter:
    def __init__(self, store: "LocalDirChunkStore") -> None:
        self._store = store
        with full_disk_is_told(store.directory):
            self._stage, self._lock = _claimed_stage(store.directory / "stage")
        self._staged: dict[Kind, dict[Digest, str]] = {kind: {} for kind in Kind}
        self._found: set[tuple[Kind, Digest]] = set()  # two of them at most
        self._adding = threading.Lock()
        self._broken = False

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        staged = self._staged[kind]
        asked = [each for each in digests if each not in staged]
        missing = self._store.missing(asked, kind)
        with self._adding:
            for each in asked if len(self._found) < 2 else ():
                if each not in missing:
                    self._found.add((kind, each))
                    if len(self._found) == 2:
                        break
        return missing

    def put(self, digest: Digest, framed: bytes, kind: Kind = Kind.CHUNK) -> None:
        draft = f"{self._stage}/{kind}{digest.hex()}"
        with self._adding:
            if digest in self._staged[kind]:
                return
            self._staged[kind][digest] = draft
        with self._or_broken():
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with past_the_page_cache(descriptor):
                    written = write_pages(descriptor, framed)
                os.lseek(descriptor, written, os.SEEK_SET)
                write_all(descriptor, framed[written:])
            finally:
                os.close(descriptor)

    def commit(self) -> None:
        if self._broken:
            raise RuntimeError("an earlier put or commit of this writer failed")
        with self._or_broken():
            staged = [(kind, digest) for kind in Kind for digest in self._staged[kind]]
            if len(staged) + len(self._found) == 1:
                self._commit_one(*staged, *self._found)
                return
            if staged:
                syncfs(self._store.directory)
                for kind in Kind:  # a page is never there before the chunks it names
                    self._rename(kind)
            syncfs(self._store.directory)

    def _commit_one(self, named: tuple[Kind, Digest]) -> None:
        """Itself: a sync of the filesystem waits for all that anybody has written to it."""
        kind, digest = named
        published = Path(self._store.path(digest, kind))
        draft = self._staged[kind].get(digest)
        try:
            sync_file(published if draft is None else Path(draft))
        except FileNotFoundError as gone:
            if draft is not None:
                raise
            raise NoLongerThere(f"{kind}/{digest.hex()} was found, and is gone") from gone
        self._rename(kind)
        sync_directory(published.parent)

    def _rename(self, kind: Kind) -> None:
        for digest, draft in self._staged[kind].items():
            os.rename(draft, self._store.path(digest, kind))  # noqa: PTH104 (speed)
        self._staged[kind].clear()

    @contextmanager
    def _or_broken(self) -> Generator[None]:
        """A draft may be short after a failed write, and a sync that failed may succeed when
        asked again although the data is lost: after either, nothing is published any more."""
        try:
            with full_disk_is_told(self._store.directory):
                yield
        except BaseException:
            self._broken = True
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            try:
                shutil.rmtree(self._stage)
            finally:
                os.close(self._lock)


class LocalDirChunkStore:
    """`directory` is made if it is not there; it should be a filesystem's only busy user,
    because a commit waits for all of the filesystem's dirty data."""

    looks_are_cheap = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._text = str(self.directory)
        above = [each for each in self.directory.parents if not each.exists()]
        for part in ("", "stage", "quarantine", *Kind):
            (self.directory / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        spread_directories(self.directory / "stage")
        for kind in Kind:
            there = set(os.listdir(self.directory / kind))  # noqa: PTH208 (speed)
            for prefix in {f"{number:02x}" for number in range(256)} - there:
                os.makedirs(f"{self._text}/{kind}/{prefix}", mode=0o700, exist_ok=True)  # noqa: PTH103
            sync_directory(self.directory / kind)
        sync_directory(self.directory)
        for each in (self.directory, *above):  # one object's commit syncs no name but its own
            with suppress(PermissionError):  # what we may not read, we made nothing in
                sync_directory(each.parent)

    def path(self, digest: Digest, kind: Kind) -> str:
        name = digest.hex()
        return f"{self._text}/{kind}/{name[:2]}/{name}"

    def recover(self) -> int:
        """Remove what writers of dead processes left behind; how many there were.

        Safe beside living writers, of this process and of others.
        """
        dead = 0
        for stage in (self.directory / "stage").iterdir():
            lock = _locked(stage)
            if lock is not None:
                shutil.rmtree(stage)
                os.close(lock)
                dead += 1
        return dead

    def writer(self) -> LocalDirWriter:
        return LocalDirWriter(self)

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        return self._verified(digest, kind)[1]

    def framed(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        return self._verified(digest, kind)[0]

    def has(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bool:
        return os.access(self.path(digest, kind), os.F_OK)

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        return {digest for digest in digests if not self.has(digest, kind)}

    def stored_bytes(self, digest: Digest, kind: Kind = Kind.CHUNK) -> int:
        try:
            return os.stat(self.path(digest, kind)).st_size  # noqa: PTH116 (speed)
        except FileNotFoundError as missing:
            raise ChunkLost(digest, kind) from missing

    def delete(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        Path(self.path(digest, kind)).unlink(missing_ok=True)

    def quarantine(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        try:
            Path(self.path(digest, kind)).rename(
                self.directory / "quarantine" / f"{kind}{digest.hex()}"
            )
        except FileNotFoundError:
            return

    def digests(self, kind: Kind = Kind.CHUNK) -> Iterator[Digest]:
        for prefix in range(256):
            for name in os.listdir(self.directory / kind / f"{prefix:02x}"):  # noqa: PTH208 (speed)
                if _NAME.fullmatch(name):
                    yield Digest(bytes.fromhex(name))

    def _verified(self, digest: Digest, kind: Kind) -> tuple[bytes, bytes]:
        """The object as it is stored, and its plain bytes."""
        try:
            return self._decoded(digest, kind)
        except ChunkCorrupt:
            pass
        try:  # once more: a bit that flipped on the way must not cost us a good object
            return self._decoded(digest, kind)
        except ChunkCorrupt:
            self.quarantine(digest, kind)
            raise

    def _decoded(self, digest: Digest, kind: Kind) -> tuple[bytes, bytes]:
        body = self._body(digest, kind)
        return body, codec.decode(digest, body, kind)

    def _body(self, digest: Digest, kind: Kind) -> bytes:
        try:
            descriptor = os.open(self.path(digest, kind), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as missing:
            raise ChunkLost(digest, kind) from missing
        try:
            size = os.fstat(descriptor).st_size
            if size > codec.body_bytes_max(kind):
                return bytes(codec.body_bytes_max(kind) + 1)  # decode refuses it by its length
            return os.read(descriptor, size)
        finally:
            os.close(descriptor)


def _claimed_stage(parent: Path) -> tuple[Path, int]:
    """A new directory and the descriptor that locks it as long as it is open."""
    while True:
        stage = Path(tempfile.mkdtemp(prefix="w", dir=parent))
        lock = _locked(stage)
        if lock is not None:
            return stage, lock
        # A recover() came between the two calls and is removing it: take another one.


def _locked(directory: Path) -> int | None:
    """A descriptor that holds the directory's lock, or None if another holds it or it is gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == directory.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
